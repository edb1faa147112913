"""The only place that reads files in PyTorch's own format, in which strangers can hide programs and zip bombs.

First the archive's directory is checked, then what its pickle would build (`plan.py`). Only then does PyTorch read the
tensors, with `weights_only`, from a new archive that holds just what was checked, so a second parser cannot find
anything else in a crafted archive. No code from the file is ever run.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ModuleFileError
from ..files.header import opened
from .plan import Planned, plan

# Both matrices of ten SDXL concepts at 1024 px are 105 MB; reading takes about four times a file's size.
_MAX_BYTES = 128 * 2**20
_MAX_PICKLE = 2**16  # bytes; that of two tensors has about 500
_MAX_MEMBERS = 64
_MEMBER = b"PK\1\2"  # the signature of each entry in a zip directory
_ALSO = {"version", "byteorder", ".format_version", ".storage_alignment", ".data/serialization_id"}
# What zipfile, the unpickler and PyTorch raise for malformed data.
_DAMAGED: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, zlib.error, struct.error, pickle.UnpicklingError, EOFError, OSError, RuntimeError),
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError, MemoryError),
)


@dataclass(frozen=True)
class Source:
    """The tensors of a file by key, the file's name, and the SHA-256 of its bytes."""

    tensors: dict[str, Tensor]
    file: str
    sha256: str


def read_tensors(path: Path) -> Source:
    """Read a file of named tensors that `torch.save` wrote, flat or under "state_dict".

    Raises ModuleFileError for everything else.
    """
    with opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        data = file.read(min(size, _MAX_BYTES + 1))
    try:
        return Source(_tensors(data), path.name, hashlib.sha256(data).hexdigest())
    except ModuleFileError as error:
        raise ModuleFileError(f"{path.name}: {error}") from error
    except _DAMAGED as error:
        raise ModuleFileError(f"{path.name}: it is damaged ({str(error)[:120]}). Get the file again.") from error


def _tensors(data: bytes) -> dict[str, Tensor]:
    if len(data) > _MAX_BYTES:
        raise ModuleFileError(f"expected a file of at most {_MAX_BYTES >> 20} MiB, found a larger one. Is it a model?")
    if data[:4] != b"PK\3\4":
        raise ModuleFileError(
            "expected a file as torch.save has written them since PyTorch 1.6 (2020), found something else. Load it "
            "with the program that it comes from and save its state_dict with torch.save."
        )
    members = _members(data)
    planned = _named(plan(members["data.pkl"]))
    for key, tensor in planned.items():
        _check(key, tensor, members)
    kept = {"data.pkl", *(f"data/{tensor.stored.key}" for tensor in planned.values())}
    clean = _archive({name: members[name] for name in members if name in kept})
    loaded: Any = torch.load(clean, map_location="cpu", weights_only=True)
    loaded = loaded if planned.keys() <= loaded.keys() else loaded["state_dict"]
    return {key: loaded[key].detach() for key in planned}


def _members(data: bytes) -> dict[str, bytes]:
    """Return the contents of the archive by their names inside its only folder."""
    if data.count(_MEMBER) > _MAX_MEMBERS:  # checked before zipfile creates an object for each
        raise ModuleFileError(f"expected at most {_MAX_MEMBERS} entries in the archive, found more. Is it a model?")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise ModuleFileError(
                "expected an archive without compression and passwords, found one. torch.save has none."
            )
        if sum(entry.file_size for entry in entries) > len(data):
            raise ModuleFileError("its entries claim to be larger than the file. Get the file again.")
        folders = [name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(folders) != 1:
            raise ModuleFileError("expected one list of tensors (data.pkl) in the archive, found none or several.")
        names = [entry.filename.removeprefix(f"{folders[0]}/") for entry in entries]
        if other := [n for n in names if n not in _ALSO | {"data.pkl"} and not n.startswith("data/")]:
            raise ModuleFileError(f"expected tensors and nothing else, found {other[0][:80]!r}. Is it a program?")
        if len(set(names)) < len(names):
            raise ModuleFileError("two entries of the archive have the same name. Get the file again.")
        sizes = dict(zip(names, (entry.file_size for entry in entries), strict=True))
        if sizes["data.pkl"] > _MAX_PICKLE:
            raise ModuleFileError(f"its list of tensors has {sizes['data.pkl']} bytes, far more than a module's.")
        contents = {name: archive.read(entry) for name, entry in zip(names, entries, strict=True)}
    if contents.get("byteorder", b"little") != b"little":
        raise ModuleFileError(
            "expected little-endian numbers, found another byte order. Save it on a little-endian computer."
        )
    return contents


def _named(found: Mapping[str, Any]) -> dict[str, Planned]:
    if set(found) == {"state_dict"} and isinstance(found["state_dict"], dict):
        found = found["state_dict"]
    others = {key: value for key, value in found.items() if not isinstance(value, Planned)}
    if others or not found:
        listed = ", ".join(f"{key[:80]!r} ({type(value).__name__})" for key, value in list(others.items())[:5])
        raise ModuleFileError(f"expected named tensors, flat or below 'state_dict', found {listed or 'nothing'}.")
    return {key: value for key, value in found.items() if isinstance(value, Planned)}


def _check(key: str, tensor: Planned, members: Mapping[str, bytes]) -> None:
    stored = members.get(f"data/{tensor.stored.key}")
    if stored is None or len(stored) != tensor.stored.count * tensor.stored.dtype.itemsize or not tensor.is_plain:
        raise ModuleFileError(
            f"the tensor {key[:80]!r} says {list(tensor.shape)} of {tensor.stored.dtype}, which is not what is stored "
            "for it. Get the file again; if you made it, save .contiguous() tensors."
        )


def _archive(members: Mapping[str, bytes]) -> io.BytesIO:
    clean = io.BytesIO()
    with zipfile.ZipFile(clean, "w") as archive:
        for name, content in {**members, "version": b"3\n"}.items():
            archive.writestr(f"archive/{name}", content)
    clean.seek(0)
    return clean
