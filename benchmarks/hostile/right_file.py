"""Was a file that could be read also read correctly? Answered by other means than the readers': plain bytes."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from respo_train.core.files.checkpoint import from_bytes, to_bytes
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule

_FEW_BYTES = 2**24  # what is larger would not fit several times into the process that asks
_F32, _F16 = np.dtype("<f4"), np.dtype("<f2")
_KINDS: dict[str, Any] = {"F32": _F32, "F16": _F16, "float32": _F32, "float16": _F16}


def _numbers(data: bytes, kind: str) -> NDArray[np.float32]:
    if kind in ("BF16", "bfloat16"):  # the upper half of a float
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, _KINDS[kind]).astype(np.float32)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a key twice"
    return dict(pairs)


def check_module(path: Path, attribute: Attribute) -> None:
    """Raise AssertionError unless `attribute` has the file's numbers, and can be written and read again."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    assert (len(data) <= 2**27, start <= 8 + 2**20) == (True, True), "larger than the format allows"
    header = json.loads(data[8:start], object_pairs_hook=_unique)
    left = {key for key in header if key != "__metadata__" and not key.startswith("probe:")}
    for name, module in attribute.concepts.items():
        for part, numbers in module.named_children():
            for key, parameter in numbers.named_parameters():
                full = f"{name}.{part}" + ("" if key == "full" else f".{key}")
                own = parameter.detach().numpy()
                if full not in left:
                    assert part == "semantic", full
                    assert not own.any(), full
                    continue
                left.remove(full)
                entry = header[full]
                begin, end = entry["data_offsets"]
                stored = _numbers(data[start + begin : start + end], entry["dtype"]).reshape(entry["shape"])
                assert np.array_equal(own, stored), full
    assert not left, left
    respo = json.loads(header["__metadata__"]["respo"], object_pairs_hook=_unique)
    assert (attribute.name, list(attribute.concepts)) == (respo["name"], respo["concepts"])
    _check_round_trip(attribute)


def check_size(path: Path, _: Any) -> None:
    """Raise AssertionError for a file that is larger than the format allows."""
    assert path.stat().st_size <= 2**27


def check_inside(path: Path, _: Any) -> None:
    """Raise AssertionError for a link that leads out of the folder."""
    assert path.resolve().is_relative_to(path.parent.resolve())


def check_archive(path: Path, imported: Any) -> None:
    """Raise AssertionError unless each concept is a column (or row) of some matrix in the archive, bit for bit."""
    attribute, family = imported.attribute, imported.family
    origin = attribute.training["imported"]
    with zipfile.ZipFile(path) as archive:
        assert all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist()), "compressed"
        members = [archive.read(name) for name in archive.namelist() if "data/" in name]
    size = np.dtype("<f4").itemsize if origin["dtype"] == "float32" else 2
    matrices = [_numbers(own[: len(own) // size * size], origin["dtype"]) for own in members]
    rows = origin["room"]
    fitting = [
        own.reshape(rows, -1) if family.rows else own.reshape(-1, rows) for own in matrices if own.size % rows == 0
    ]
    for name, number in origin["numbers"].items():
        _check_concept(attribute.concept(name), [own[number] if family.rows else own[:, number] for own in fitting])
    _check_round_trip(attribute)


def _check_concept(module: ConceptModule, columns: list[NDArray[np.float32]]) -> None:
    for part in (module.responsible, module.semantic):
        value = part.value().detach().numpy().reshape(-1)
        assert math.isfinite(float(np.abs(value).max()))
        assert not value.any() or any(np.array_equal(value, column) for column in columns)


def _check_round_trip(attribute: Attribute) -> None:
    written = to_bytes(attribute)
    if len(written) < _FEW_BYTES:
        assert to_bytes(from_bytes(written, "again")) == written


def check_concepts(path: Path, imported: Any) -> None:
    """Raise AssertionError unless the list's concepts are those that were taken, at places that there are."""
    listed = json.loads(path.read_text(encoding="utf-8-sig"))
    listed = listed if isinstance(listed, dict) else dict(zip(listed, range(len(listed)), strict=True))
    numbers = imported.attribute.training["imported"]["numbers"]
    assert all(number == listed[name] >= 0 for name, number in numbers.items())


def check_state(_: Path, state: Any) -> None:
    """Raise AssertionError unless a state that could be read is the good one: whatever else it was is noticed."""
    concept = state.concepts["woman"]
    assert not any(bool(parameter.any()) for parameter in concept.module.responsible.parameters())
    assert (state.step, concept.source.places, concept.source.found.tolist()) == (1, [1, 2], [[1.0] * 4] * 2)
