"""Was a file that could be read also read correctly? Answered by other means than the readers'.

Each function is given a file and what was made of it, and raises AssertionError where that is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from respo_train.core.files.checkpoint import from_bytes, to_bytes
from respo_train.core.files.text import read_text
from respo_train.core.module.attribute import Attribute


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a key twice"
    return dict(pairs)


def text(path: Path, _: Any) -> None:
    """Compare the hash in a module's text with the module."""
    said, packed = "".join(read_text(path, "the text").split()).split(":")[1:]  # UTF-16, too, as editors write it
    assert hashlib.sha256(zlib.decompress(base64.b64decode(packed))).hexdigest() == said


def module(path: Path, attribute: Attribute) -> None:
    """Compare an attribute with the file's numbers; write it and read it again."""
    assert path.stat().st_size <= 2**27
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")], object_pairs_hook=_unique)
    respo = json.loads(header["__metadata__"]["respo"], object_pairs_hook=_unique)
    assert (attribute.name, list(attribute.concepts)) == (respo["name"], respo["concepts"])
    stored, own = safetensors.torch.load(data), safetensors.torch.load(_written(attribute))
    for key in stored.keys() | own.keys():
        if key in stored and key in own:
            assert torch.equal(own[key], stored[key].float()), key
        else:  # a semantic part of zeros may be left out
            assert ".semantic" in key, key
            assert not (stored | own)[key].any(), key


def _written(attribute: Attribute) -> bytes:
    """Return an attribute as a file, which must stay the same when it is read and written again."""
    data = to_bytes(attribute)
    assert to_bytes(from_bytes(data, "again")) == data
    return data


def archive(path: Path, imported: Any) -> None:
    """Compare each concept with its column (or row) in the matrices that PyTorch reads of it."""
    clean = io.BytesIO()
    with zipfile.ZipFile(path) as opened, zipfile.ZipFile(clean, "w") as copy:
        assert all(member.compress_type == zipfile.ZIP_STORED for member in opened.infolist()), "compressed"
        for name in opened.namelist():
            if name.endswith(("/data.pkl", "/version")) or "/data/" in name:
                copy.writestr(name, b"3\n" if name.endswith("/version") else opened.read(name))
    clean.seek(0)
    stored = torch.load(clean, weights_only=True)
    stored = stored.get("state_dict", stored)
    origin = imported.attribute.training["imported"]
    for name, number in origin["numbers"].items():
        concept = imported.attribute.concept(name)
        for key, part in zip(origin["keys"], (concept.responsible, concept.semantic), strict=False):
            matrix = next(own for other, own in stored.items() if other.endswith(key))
            assert matrix.is_contiguous(), "a view"
            column = matrix[number] if imported.family.rows else matrix[:, number]
            assert torch.isfinite(column).all(), key
            assert torch.equal(part.value().detach().flatten(), column.float()), key
    _written(imported.attribute)


def concepts(path: Path, imported: Any) -> None:
    """Compare a list's concepts with those that were taken, at places that there are."""
    listed = json.loads(path.read_text(encoding="utf-8-sig"))
    listed = listed if isinstance(listed, dict) else {name: number for number, name in enumerate(listed)}
    numbers = imported.attribute.training["imported"]["numbers"]
    assert all(number == listed[name] >= 0 for name, number in numbers.items())


def state(_: Path, restored: Any) -> None:
    """Look for a state that could be read and is not the good one: whatever else it is must be noticed."""
    concept = restored.concepts["woman"]
    assert not any(bool(parameter.any()) for parameter in concept.module.responsible.parameters())
    assert (restored.step, concept.source.places, concept.source.found.tolist()) == (1, [1, 2], [[1.0] * 4] * 2)
