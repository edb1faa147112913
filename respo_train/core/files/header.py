"""Read the header of a safetensors file, with limits that are checked before anything is allocated."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ..errors import ModuleFileError
from ..shown import shown

# A module's header has a few kB; this leaves plenty of room for prompts.
_MAX_HEADER = 2**20
_MAX_DIMENSIONS = 8
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16}
_BITS |= {"I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes; everything that reads files comes here, for opening a pipe could wait for ever.

    Raises ModuleFileError for what cannot be read or is no file, also when reading fails later. Errors of whoever
    reads it (Pillow's are OSErrors, too, without the system's number) are left as they are.
    """
    try:
        if "\0" in str(path):
            raise OSError(errno.EINVAL, "expected a name without a null character")
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a pipe gives nothing, and a device has no end
                raise OSError(errno.EINVAL, "expected a file, found a folder, a pipe or a device")
            yield file
    except OSError as error:
        if error.errno is None:
            raise
        reason = str(error.strerror)
        raise ModuleFileError(f"cannot read {path}: {reason[:1].lower()}{reason[1:]}. Check its name.") from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def header_of(file: BinaryIO, name: str, max_bytes: int) -> dict[str, Any]:
    """Return the header of the safetensors data in `file`. `name`: for messages. Raises ModuleFileError."""
    total = file.seek(0, os.SEEK_END)
    file.seek(0)
    _check_sizes(name, total, max_bytes)
    size = int.from_bytes(file.read(8), "little")
    if size > min(total - 8, _MAX_HEADER):
        raise ModuleFileError(
            f"{name}: expected a safetensors header of at most {min(total - 8, _MAX_HEADER)} bytes, found "
            f"{size}. It is truncated or no module file; get it again."
        )
    try:
        header = parse_json(file.read(size).decode(), f"{name}: the header")
    except UnicodeDecodeError as error:
        raise ModuleFileError(f"{name}: expected a safetensors header, found other bytes.") from error
    if not isinstance(header, dict):
        raise ModuleFileError(f"{name}: expected a safetensors header, found a {type(header).__name__}.")
    for key, entry in header.items():
        if key != "__metadata__" and not _is_stored(entry, total - 8 - size):
            raise ModuleFileError(
                f"{name}: expected the tensor {key[:80]!r} with a kind of number, a shape and a place in the file, "
                f"found {shown(entry)}. Get the file again."
            )
    stored = max((entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0)
    if stored != total - 8 - size:  # what stands behind the numbers would be read with them
        raise ModuleFileError(
            f"{name}: expected {stored} bytes of numbers behind the header, found {total - 8 - size}. Get it again."
        )
    return header


def _is_stored(entry: Any, total: int) -> bool:
    """Return whether an entry says of a tensor what can be, within `total` bytes of numbers."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return False
    bits, shape, place = _BITS.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
    lists = all(isinstance(one, list) and all(type(n) is int and n >= 0 for n in one) for one in (shape, place))
    if bits is None or not lists or len(shape) > _MAX_DIMENSIONS or len(place) != 2 or max(shape, default=0) >= 2**48:
        return False
    first, last = place
    return bool(last <= total and last - first == math.prod(shape) * bits // 8)


def parse_json(text: str, what: str) -> Any:
    """Parse strict JSON: no duplicate keys, no NaN, limited nesting. `what`: for messages. Raises ModuleFileError."""
    try:
        value = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
        # Refuse numbers beyond a float's range and lone surrogates: they could be read but not written again.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise ModuleFileError(f"{what} is not valid JSON ({str(error)[:120]}). Get the file again.") from error


def _check_sizes(name: str, total: int, max_bytes: int) -> None:
    if total < 10:
        raise ModuleFileError(f"{name}: expected a safetensors file, found {total} bytes. Get the file again.")
    if total > max_bytes:
        raise ModuleFileError(
            f"{name}: expected a module of at most {max_bytes >> 20} MiB, found {total >> 20} MiB. Is it a checkpoint?"
        )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same key twice")
    return result


def _refuse_constant(found: str) -> NoReturn:
    raise ValueError(f"{found} is not a number")
