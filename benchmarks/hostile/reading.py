"""A process of its own that reads hostile files. Its memory ends 1 GiB above where it stood when it was ready."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from .explore import Verdict
from .known import entries_of, good_files

ROOM = 2**30  # bytes
PATIENCE = 60.0  # of the clock, for a file: longer than any waiting for a busy processor
STARTING = 600.0
Answer = dict[str, tuple[Verdict, float, int]]  # reader -> verdict, seconds of the processor, bytes
_called: set[tuple[str, str]] = set()  # in the process


class Reader:
    """The process; another one once that crashed or hung. `reached`: functions of ours that read the good files."""

    def __init__(self, folder: Path):
        self.folder, self.starts = folder, 0
        self.start()

    def start(self) -> None:
        """Read good files until everything is loaded that will be; only then memory is counted."""
        self.starts += 1
        self.pool = multiprocessing.get_context("spawn").Pool(1, _prepare, (self.folder,))
        for file in good_files():
            path = file.place(self.folder)
            self.pool.apply_async(_read, (path, entries_of(file.kind))).get(STARTING)
            path.unlink()
        clear(self.folder)  # PyTorch makes a folder for itself
        self.reached: set[tuple[str, str]] = self.pool.apply(_limit)

    def read(self, path: Path, entries: list[str]) -> Answer | None:
        """Return what the entries made of a file, None when the process crashed or hung."""
        try:
            return self.pool.apply_async(_read, (path, entries)).get(PATIENCE)
        except multiprocessing.TimeoutError:
            self.pool.terminate()
            clear(self.folder)
            self.start()
            return None


def clear(folder: Path) -> list[str]:
    """Empty a folder; return what was in it."""
    found = sorted(folder.iterdir())
    for path in found:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return [path.name for path in found]


def _prepare(folder: Path) -> None:
    log = os.open(folder.parent / "reader.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1), os.dup2(log, 2)
    # Whatever a file may make lands where it is seen.
    os.environ.update(dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP"), str(folder)), OMP_NUM_THREADS="1")
    sys.dont_write_bytecode = True
    os.chdir(folder)
    import torch

    from .entries import use_folder

    torch.set_num_threads(1)
    use_folder(folder)

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            _called.add((frame.f_code.co_filename, frame.f_code.co_name))

    sys.setprofile(note)


def _limit() -> set[tuple[str, str]]:
    """Let nothing more be had than 1 GiB above now, where the system can say so; return what was called so far."""
    from .entries import ROOT

    sys.setprofile(None)
    if sys.platform.startswith("linux"):
        import resource

        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, resource.RLIM_INFINITY))
    places = {(Path(file).resolve(), name) for file, name in _called if os.path.isabs(file)}
    return {(str(file.relative_to(ROOT)), name) for file, name in places if file.is_relative_to(ROOT)}


def _read(path: Path, names: list[str]) -> Answer:
    from .entries import ENTRIES

    found: Answer = {}
    for name in names:
        before, began = _memory("VmRSS"), time.process_time()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the highest so far begins anew
        verdict, value = _judged(partial(ENTRIES[name].read, path))
        took, memory, check = time.process_time() - began, _memory("VmHWM") - before, ENTRIES[name].check
        if verdict.kind == "read" and check is not None:
            checked, _ = _judged(partial(check, path, value))
            verdict = verdict if checked.kind == "read" else Verdict("read wrongly", checked.text)
        del value  # the next one needs the room
        found[name] = (verdict, took, memory)
    return found


def _judged(read: Any) -> tuple[Verdict, Any]:
    try:
        return Verdict("read"), read()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what this is looking for
        # The pack's own class of error is another one than the trainer's: each has imported its own.
        if any(base.__module__.endswith("respo_train.core.errors") for base in type(error).__mro__):
            return Verdict("refused", str(error)), None
        return Verdict("defect", traceback.format_exc()[-3000:]), None


def _memory(entry: str) -> int:
    """Return an entry of this process's status in bytes, 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(entry + ":"):
                return int(line.split()[1]) * 1024
    return 0
