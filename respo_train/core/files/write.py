"""Writing files so that nothing is lost. `tests/test_writing.py` holds that every file of ours is written here.

A file is written under an unguessable name in its own folder and then takes its place, whole or not at all. Where a
new content depends on the old one, a lock (filelock, which PyTorch brings) lets one process after the other do so.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from filelock import BaseFileLock, FileLock, Timeout

from ..errors import RespoError

try:
    import fcntl
except ImportError:  # Windows, which does not remove a file that somebody has open
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_NO_LINKS = (*_NO_LOCKS, errno.EPERM, errno.EMLINK, errno.EXDEV)
_swept: set[Path] = set()


class Busy(RespoError):
    """Another process holds the lock."""


def write_atomically(path: Path, data: bytes, *, new: bool = False) -> None:
    """Write all of `data` to `path` or nothing; see `replacing`."""
    with replacing(path, new=new) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path, *, new: bool = False) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends, and leaves nothing behind when it raises.

    `new`: never replace what another process may have written there meanwhile. Raises RespoError when it cannot be
    written and, with `new`, FileExistsError.
    """
    beside = _beside(path, f"{secrets.token_hex(8)}.tmp")
    _sweep_once(path.parent)
    try:
        with open(beside, "xb") as file:
            _claim(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        _put_new(beside, path) if new else os.replace(beside, path)
    except OSError as error:
        if new and isinstance(error, FileExistsError):
            raise
        raise _refusal(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def put_at_end(path: Path, old: bytes, new: bytes) -> None:
    """Replace `old`, the last bytes of a file, by `new`. What it costs does not depend on the length of the file.

    The caller holds its lock. After an error the file is as it was; a process that is killed can leave a part of
    `new`, so the reader must know how to go on from that. Raises RespoError, also when the file does not end in `old`.
    """
    try:
        with open(path, "r+b", buffering=0) as file:
            place = file.seek(-len(old), os.SEEK_END)
            if file.read() != old:
                raise RespoError(f"cannot write {path}: another program has changed it. Try again.")
            try:
                _write_all(file, place, new)
            except OSError:
                _write_all(file, place, old)
                raise
    except OSError as error:
        raise _refusal(path, error) from error


def _write_all(file: FileIO, place: int, data: bytes) -> None:
    file.seek(place)
    while data:
        data = data[file.write(data) :]
    file.truncate()
    os.fsync(file.fileno())


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless they are there. Raises RespoError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RespoError(f"cannot make the folder {path}: {error.strerror or error}. Choose another one.") from error


@contextlib.contextmanager
def locked(path: Path, wait: float = 30.0, keep: bool = True) -> Iterator[None]:
    """Let one process at a time change `path`; the others wait, at most `wait` seconds. It need not exist.

    The system ends the lock with its process, so none is ever stale. Where the file system knows no locks, a warning is
    logged and nothing is locked. `keep`: leave the lock's own file, as removing it while others wait would split them.
    Raises Busy, and RespoError when the lock cannot be made.
    """
    lock = FileLock(_beside(path, "lock"))
    try:
        _take(lock, wait)
    except Timeout as error:
        raise Busy(f"another process is writing {path}. Wait until it is done, then try again.") from error
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise _refusal(Path(lock.lock_file), error) from error
        _log.warning("%s: this file system has no locks; let no other process write there.", path)
    try:
        yield
    finally:
        if not keep:
            with contextlib.suppress(OSError):
                os.unlink(lock.lock_file)
        lock.release()


def _take(lock: BaseFileLock, wait: float) -> None:
    """Acquire a lock at its path, as newer versions of filelock do. Raises what `acquire` does.

    Older ones empty the file that a link at its path leads to. And they may lock a file that the holder before has
    removed since they opened it, which locks nobody out.
    """
    if os.path.islink(lock.lock_file):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    while True:
        lock.acquire(timeout=wait)
        held = getattr(getattr(lock, "_context", None), "lock_file_fd", None)
        with contextlib.suppress(FileNotFoundError):
            if fcntl is None or held is None or os.path.samestat(os.fstat(held), os.stat(lock.lock_file)):
                return
        lock.release()


def sweep(folder: Path, name: str = "", age: float = 3600.0) -> None:
    """Remove files that processes of this user left unfinished in `folder` when they were killed.

    `name`: only those of the file of this name. `age`: only those to which nobody has written for so many seconds, or
    that are from the future by as many, after a clock was set back; 0 is for callers who have locked them. One that is
    being written stays.
    """
    prefix = _prefix(folder / name) if name else "."
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and _LEFTOVER.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    if _abandoned(Path(entry.path), age):
                        os.unlink(entry.path)


def _abandoned(path: Path, age: float) -> bool:
    found = path.lstat()
    own = found.st_uid == (os.getuid() if hasattr(os, "getuid") else found.st_uid)
    if not own or not stat.S_ISREG(found.st_mode) or abs(time.time() - found.st_mtime) < age:
        return False
    with open(path, "rb") as file:
        return _claim(file)


def _sweep_once(folder: Path) -> None:
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)


def _beside(path: Path, ending: str) -> Path:
    """Return the path of a file of ours for `path`. Raises RespoError when that is no name of a file."""
    try:
        if path.name and b"\0" not in os.fsencode(path):
            return path.with_name(f"{_prefix(path)}{ending}")
    except UnicodeEncodeError:  # a lone surrogate
        pass
    raise RespoError(f"cannot write {str(path)[:200]!r}: expected the name of a file. Choose another name.")


def _prefix(path: Path) -> str:
    return f".{path.name[:50]}."  # a longer name would leave no room for what follows, in a name's 255 bytes


def _claim(file: BinaryIO) -> bool:
    """Mark an open file as being written, until it is closed; return False when another process has done so."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


def _put_new(beside: Path, path: Path) -> None:
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        open(path, "xb").close()  # a file system without links: take the name, then fill it
        os.replace(beside, path)


def _refusal(path: Path, error: OSError) -> RespoError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "Free some space, then try again." if full else "Choose a folder that can be written."
    return RespoError(f"cannot write {path}: {error.strerror or error}. {advice}")
