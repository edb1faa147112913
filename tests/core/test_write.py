"""Files are written whole or not at all, and none is lost when several processes write."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from respo_train.core.errors import RespoError
from respo_train.core.files import write
from respo_train.core.files.write import Busy, locked, make_folder, replacing, sweep, write_atomically

ROOT = Path(__file__).resolve().parents[2]
COUNTING = """
import json, sys
from pathlib import Path
from respo_train.core.files.write import locked, write_atomically
path, own, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(times):
    with locked(path):
        kept = json.loads(path.read_text()) if path.exists() else []
        write_atomically(path, json.dumps([*kept, f"{own} {number}"]).encode())
"""
HOLDING = """
import sys, time
from pathlib import Path
from respo_train.core.files.write import locked, replacing
with locked(Path(sys.argv[1])), replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("ready", flush=True)
    time.sleep(600)
"""


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.glob(".*.tmp")]


def test_four_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    processes = [started(COUNTING, path, own, 200) for own in "abcd"]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait() for process in processes] == [0] * 4
    found = path.read_text()
    assert all(found.count(f'"{own} {number}"') == 1 for own in "abcd" for number in range(200))
    assert leftovers(tmp_path) == []


def test_a_kill_leaves_the_file_before_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "module.safetensors"
    write_atomically(path, b"before")
    process = started(HOLDING, path)
    with pytest.raises(Busy, match=r"another process is writing .*module.safetensors"), locked(path, wait=0.1):
        pass
    (beside,) = leftovers(tmp_path)
    sweep(tmp_path, age=0)
    assert leftovers(tmp_path) == [beside]  # it is being written
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.read_bytes() == b"before"
    with locked(path, wait=0):
        sweep(tmp_path, path.name, age=0)
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(write.fcntl is None, reason="this system removes no file that is open")
def test_a_lock_whose_file_was_removed_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder before removes its file just before we get the lock, as filelock 3.13 lets happen."""
    path, acquire = tmp_path / "state.respo", FileLock.acquire
    removals = iter([tmp_path / ".state.respo.lock"])

    def acquire_late(lock: FileLock, **how: Any) -> Any:
        got = acquire(lock, **how)
        for file in removals:
            file.unlink()
        return got

    monkeypatch.setattr(FileLock, "acquire", acquire_late)
    with locked(path, wait=0, keep=False), pytest.raises(Busy), locked(path, wait=0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_equal_process_ids_share_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in two containers on one folder."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    path = tmp_path / "a"
    with replacing(path) as first:
        first.write(b"first")
        write_atomically(path, b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"before")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"before", ["a"])


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_replaces_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(os, "link", refused)
    write_atomically(tmp_path / "a", b"first", new=True)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "a", b"second", new=True)
    assert ((tmp_path / "a").read_bytes(), os.listdir(tmp_path)) == (b"first", ["a"])


def test_the_longest_names(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 127, "\U0001f642" * 63):
        with locked(tmp_path / name):
            write_atomically(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"
    with pytest.raises(RespoError, match="File name too long"):
        write_atomically(tmp_path / ("n" * 256), b"x")
    assert leftovers(tmp_path) == []


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize(("number", "advice"), [(errno.ENOSPC, "Free some space"), (errno.EROFS, "can be written")])
def test_refusals_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(RespoError, match=rf"^cannot write .*a: {os.strerror(number)}\. .*{advice}"):
        write_atomically(tmp_path / "a", b"x")
    monkeypatch.setattr(write.FileLock, "acquire", refused)
    with (
        pytest.raises(RespoError, match=rf"^cannot write .*\.a\.lock: {os.strerror(number)}\. .*{advice}"),
        locked(tmp_path / "a"),
    ):
        pass
    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(RespoError, match=rf"^cannot make the folder .*a: {os.strerror(number)}"):
        make_folder(tmp_path / "a")


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "no locks"), NotImplementedError("no locks")])
def test_where_nothing_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(write.FileLock, "acquire", refused)
    with locked(tmp_path / "a"):
        write_atomically(tmp_path / "a", b"x")
    assert "has no locks" in caplog.text


def test_a_sweep_takes_only_what_is_ours_and_old(tmp_path: Path) -> None:
    def file(name: str, age: float) -> str:
        (tmp_path / name).write_bytes(b"half a fi")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
        return name

    old, new = file(f".a.{'0' * 16}.tmp", 4000), file(f".a.{'1' * 16}.tmp", 10)
    future = file(f".a.{'2' * 16}.tmp", -4000)  # a clock was set back since
    others = [file(name, 10**6) for name in ("a.tmp", ".a.tmp", ".a.part", f".a.{'g' * 16}.tmp", ".a.lock")]
    (tmp_path / f".b.{'0' * 16}.tmp").symlink_to(tmp_path / "a.tmp")
    (tmp_path / f".c.{'0' * 16}.tmp").mkdir()
    before = set(os.listdir(tmp_path))
    write_atomically(tmp_path / "first", b"x")  # the first of this process in this folder sweeps it
    assert before - set(os.listdir(tmp_path)) == {old, future}
    sweep(tmp_path, "other", age=0)
    assert (tmp_path / new).exists()
    sweep(tmp_path, "a", age=0)
    assert before - set(os.listdir(tmp_path)) == {old, new, future}
    assert set(others) <= set(os.listdir(tmp_path))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such owners")
def test_a_sweep_leaves_what_another_user_owns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f".a.{'0' * 16}.tmp").touch()
    own = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: own + 1)
    sweep(tmp_path, age=0)
    assert len(leftovers(tmp_path)) == 1
    monkeypatch.undo()
    sweep(tmp_path, age=0)
    assert leftovers(tmp_path) == []


def test_names_cannot_be_guessed(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        names = {Path(one.name).name, Path(other.name).name}
    assert len(names) == 2
    assert all(re.fullmatch(r"\.a\.[0-9a-f]{16}\.tmp", name) for name in names)


@pytest.mark.parametrize("path", ["/", "a\0b", "a\ud800", "\ud800/a"])
def test_what_is_no_name(path: str) -> None:
    with pytest.raises(RespoError, match="expected the name of a file"):
        write_atomically(Path(path), b"x")
    with pytest.raises(RespoError, match="expected the name of a file"), locked(Path(path)):
        pass


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_what_lies_in_the_locks_place(tmp_path: Path, kind: str) -> None:
    (tmp_path / "victim").write_text("untouched")
    place = tmp_path / ".a.lock"
    place.symlink_to(tmp_path / "victim") if kind == "link" else place.mkdir()
    with pytest.raises(RespoError, match=r"cannot write .*\.a\.lock: "), locked(tmp_path / "a", wait=1):
        pass
    assert (tmp_path / "victim").read_text() == "untouched"
