"""A process of its own that reads hostile files. Its memory ends 1 GiB above where it stood when it was ready."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
import traceback
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from .explore import Verdict

ROOM = 2**30  # bytes
PATIENCE = 60.0  # of the clock, for a file: longer than any waiting for a busy processor
STARTING = 600.0
Answer = dict[str, tuple[Verdict, float, int]]  # reader -> verdict, seconds of the processor, bytes


class Reader:
    """The process; started when it is needed. `reached`: functions it called at first."""

    def __init__(self, folder: Path, good: list[tuple[Path, bytes, list[str]]]):
        self.folder, self.good, self.starts = folder, good, 0
        self.reached: set[tuple[str, str]] = set()
        self._process: Any = None

    def read(self, path: Path, entries: list[str]) -> Answer | str:
        """Return what the entries made of a file, or what became of the process."""
        if self._process is None:
            self._start()
        return self._ask((path, entries), PATIENCE)

    def _start(self) -> None:
        """Read good files until everything is loaded that will be; only then memory is counted."""
        self.starts += 1
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, self.folder), daemon=True)
        self._process.start()
        theirs.close()
        for path, data, entries in self.good:
            path.write_bytes(data)
            answer = self._ask((path, entries), STARTING)
            path.unlink()
            if isinstance(answer, str):
                raise RuntimeError(f"{answer}\n{(self.folder.parent / 'reader.log').read_text()[-3000:]}")
        self.reached = self._ask(None, STARTING)

    def _ask(self, question: Any, patience: float) -> Any:
        try:
            self._pipe.send(question)
            if self._pipe.poll(patience):
                return self._pipe.recv()
            how = "hang"
        except (EOFError, OSError):
            how = "crash"
        self.end()
        return how

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _serve(pipe: Connection, folder: Path) -> None:
    """Answer until the pipe is closed. The question None ends the start; its answer: functions of ours so far."""
    log = os.open(folder.parent / "reader.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1), os.dup2(log, 2)
    # Whatever a file may make lands where it is seen.
    os.environ.update(dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP"), str(folder)), OMP_NUM_THREADS="1")
    sys.dont_write_bytecode = True
    os.chdir(folder)
    import torch

    from .entries import ROOT, use_folder

    torch.set_num_threads(1)
    use_folder(folder)
    called: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            called.add((frame.f_code.co_filename, frame.f_code.co_name))

    sys.setprofile(note)
    with contextlib.suppress(EOFError):
        while True:
            question = pipe.recv()
            if question is None:
                sys.setprofile(None)
                places = {(Path(file).resolve(), name) for file, name in called if os.path.isabs(file)}
                pipe.send({(str(file.relative_to(ROOT)), name) for file, name in places if file.is_relative_to(ROOT)})
                _cap()
            else:
                pipe.send(_read(*question))


def _cap() -> None:
    """Let nothing more be had than 1 GiB above now; only Linux knows how much is had."""
    if sys.platform.startswith("linux"):
        import resource

        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, resource.RLIM_INFINITY))


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
            verdict = verdict if checked.kind == "read" else Verdict("read wrongly", checked.detail, checked.text)
        del value  # the next one needs the room
        found[name] = (verdict, took, memory)
    return found


def _judged(read: Any) -> tuple[Verdict, Any]:
    try:
        return Verdict("read"), read()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what this is looking for
        # The pack's own class of error is another one than the trainer's: each has imported its own.
        if any(base.__module__.endswith("respo_train.core.errors") for base in type(error).__mro__):
            return Verdict("refused", "", str(error)), None
        place = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"{type(error).__name__} in {place.name}"
        return Verdict("defect", detail, traceback.format_exc()[-3000:]), None


def _memory(entry: str) -> int:
    """Return an entry of this process's status in bytes, 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(entry + ":"):
                return int(line.split()[1]) * 1024
    return 0
