"""Was a file that could be read also read correctly? Answered by other means than the readers'."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from respo_train.core.files.checkpoint import from_bytes, to_bytes
from respo_train.core.module.attribute import Attribute

_LARGEST, _LONGEST_HEADER = 2**27, 2**20  # bytes that the format allows


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a key twice"
    return dict(pairs)


def check_size(path: Path, _: Any) -> None:
    """Raise AssertionError for a file that is larger than the format allows."""
    assert path.stat().st_size <= _LARGEST


def check_inside(path: Path, _: Any) -> None:
    """Raise AssertionError for a link that leads out of the folder."""
    assert path.resolve().is_relative_to(path.parent.resolve())


def check_module(path: Path, attribute: Attribute) -> None:
    """Raise AssertionError unless `attribute` has the file's numbers, and can be written and read again."""
    check_size(path, attribute)
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    assert end <= 8 + _LONGEST_HEADER
    respo = json.loads(
        json.loads(data[8:end], object_pairs_hook=_unique)["__metadata__"]["respo"], object_pairs_hook=_unique
    )
    assert (attribute.name, list(attribute.concepts)) == (respo["name"], respo["concepts"])
    written = to_bytes(attribute)
    stored, own = safetensors.torch.load(data), safetensors.torch.load(written)
    for key in stored.keys() | own.keys():
        if key in stored and key in own:
            assert torch.equal(own[key], stored[key].float()), key
        else:  # a semantic part of zeros may be left out
            assert ".semantic" in key, key
            assert not (stored | own)[key].any(), key
    assert to_bytes(from_bytes(written, "again")) == written


def check_archive(path: Path, imported: Any) -> None:
    """Raise AssertionError unless each concept is a column (or row) of some matrix in the archive, bit for bit."""
    origin, by_rows = imported.attribute.training["imported"], imported.family.rows
    with zipfile.ZipFile(path) as archive:
        assert all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist()), "compressed"
        members = [archive.read(name) for name in archive.namelist() if "data/" in name]
    matrices = [_numbers(own, origin["dtype"]) for own in members]
    shape = (origin["room"], -1) if by_rows else (-1, origin["room"])
    fitting = [own.reshape(shape) for own in matrices if own.size % origin["room"] == 0]
    for name, number in origin["numbers"].items():
        columns = [own[number] if by_rows else own[:, number] for own in fitting]
        concept = imported.attribute.concept(name)
        for part in (concept.responsible, concept.semantic):
            value = part.value().detach().numpy().reshape(-1)
            assert np.isfinite(value).all()
            assert not value.any() or any(np.array_equal(value, column) for column in columns)
    written = to_bytes(imported.attribute)
    assert to_bytes(from_bytes(written, "again")) == written


def _numbers(data: bytes, kind: str) -> NDArray[np.float32]:
    size = 4 if kind == "float32" else 2
    data = data[: len(data) // size * size]
    if kind == "bfloat16":  # the upper half of a float
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, f"<f{size}").astype(np.float32)


def check_concepts(path: Path, imported: Any) -> None:
    """Raise AssertionError unless the list's concepts are those that were taken, at places that there are."""
    listed = json.loads(path.read_text(encoding="utf-8-sig"))
    listed = listed if isinstance(listed, dict) else {name: number for number, name in enumerate(listed)}
    numbers = imported.attribute.training["imported"]["numbers"]
    assert all(number == listed[name] >= 0 for name, number in numbers.items())


def check_state(_: Path, state: Any) -> None:
    """Raise AssertionError unless a state that could be read is the good one: whatever else it was is noticed."""
    concept = state.concepts["woman"]
    assert not any(bool(parameter.any()) for parameter in concept.module.responsible.parameters())
    assert (state.step, concept.source.places, concept.source.found.tolist()) == (1, [1, 2], [[1.0] * 4] * 2)
