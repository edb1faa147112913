"""Read the header of a safetensors file, with limits that are checked before anything is allocated."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ..errors import ModuleFileError

# A module's header has a few kB; this leaves plenty of room for prompts.
_MAX_HEADER = 2**20


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes; everything that reads files comes here, for opening a pipe could wait for ever.

    Raises ModuleFileError for what cannot be read or is no file, also when reading fails later.
    """
    try:
        if "\0" in str(path):
            raise OSError(errno.EINVAL, "expected a name without a null character")
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # a pipe gives nothing, and a device has no end
                raise OSError(errno.EINVAL, "expected a file, found a folder, a pipe or a device")
            yield file
    except OSError as error:
        reason = str(error.strerror or error)
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
    return header


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
