"""Hostile files: each is read in a process of its own by whatever reads such files, and what came of it is judged."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pkgutil
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from hypothesis import strategies as st

from .corpus import GOOD_ARCHIVE, KINDS, ROOT, SHARES, HostileFile, good, known_files
from .strategies import spoilt
from .tally import GOOD, Tally, Verdict

SECONDS = 1.0  # of the processor for each reader, and as many for each 16 MiB that are no hole
ROOM = 2**30  # bytes, above where the process stood when it was ready
PATIENCE = 30.0  # seconds for one file, of the processor, or of the clock while the process sleeps: longer is a hang
_LOG = "reader.log"
_AROUND = {"outside", GOOD_ARCHIVE, "respo", _LOG}


def hostile_files(kind: str) -> st.SearchStrategy[HostileFile]:
    """Draw a file of one of KINDS with something wrong; now and then it is a good one of another kind."""
    others = st.sampled_from(list(KINDS)).map(lambda other: good(other)[-1])
    own = st.sampled_from(range(len(good(kind)))).flatmap(lambda number: spoilt(good(kind)[number]))
    drawn = st.integers(0, 19).flatmap(lambda number: others if number == 19 else own)
    return drawn.map(lambda data: HostileFile(kind, "spoilt", data=data))


class Files:
    """An empty folder and the process that reads in it, in a `with` statement; another process when that is gone.

    `readers`: the name of what returns them, which is called in the process. `reached`: functions of ours that read the
    good files. `seconds`: as SECONDS.
    """

    def __init__(self, outer: Path, readers: str = "benchmarks.hostile.readers:in_folder", seconds: float = SECONDS):
        self.folder, self.readers, self.seconds = outer.resolve() / "respo", readers, seconds
        self.tally, self.starts, self.largest = Tally(), 0, 0
        self.folder.mkdir()
        (self.folder.parent / GOOD_ARCHIVE).write_bytes(good("archive")[0])
        (self.folder.parent / _LOG).touch()

    def __enter__(self) -> Files:
        """Start; read good files until everything is loaded that will be. Only then memory is counted.

        Raises RuntimeError when the process dies or stands still before it is ready.
        """
        self.starts += 1
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.folder, self.readers), daemon=True)
        self._process.start()
        theirs.close()
        try:
            for file in (HostileFile(kind, "good", data=data) for kind in KINDS for data in good(kind)):
                self._ask(file.place(self.folder), file.kind, 20 * PATIENCE)
                self._clear()
            self.reached: set[tuple[str, str]] = self._ask(None, "", PATIENCE)
        except (OSError, EOFError) as error:
            self.__exit__()
            said = (self.folder.parent / _LOG).read_text(errors="replace")[-3000:]
            end = "stood still" if isinstance(error, TimeoutError) else f"ended with status {self._process.exitcode}"
            words = said or "(none, but for what is printed above)"
            text = f"the process that reads the files {end} before it was ready; its last words:\n{words}"
            raise RuntimeError(text) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._clear()

    def run(self, count: int, kinds: Sequence[str] = tuple(KINDS)) -> Tally:
        """Let about `count` files be read, shared out among the kinds, always the same ones, and the known ones."""
        for kind in kinds:
            share = count * SHARES[kind] // sum(SHARES[one] for one in kinds)
            self.tally.explore(known_files(kind), hostile_files(kind), share, self.ask, 0)
            print(f"{kind}: {self.tally.count} files, {len(self.tally.failures)} failures", flush=True)
        self.tally.more = {"largest_bytes": self.largest, "starts": self.starts}
        return self.tally

    def ask(self, file: HostileFile) -> dict[str, Verdict]:
        """Return what became of a file at each reader."""
        path = file.place(self.folder)
        try:
            answer = self._ask(path, file.kind, PATIENCE)
        except (OSError, EOFError) as error:
            self.__exit__()
            self.__enter__()
            return {"any": Verdict("hang" if isinstance(error, TimeoutError) else "crash")}
        left = [name for name in self._clear() if not name.startswith(f"{path.stem}.")]
        left += {path.name for path in self.folder.parent.iterdir()} - _AROUND
        verdicts = {"any": Verdict("left behind", str(left))} if left else {}
        for name, (verdict, seconds, memory, room) in answer.items():
            self.largest = max(self.largest, memory)
            large = memory > min(ROOM, room + 6 * max(len(file.data), file.size))
            if verdict.kind in GOOD and (large or seconds > self.seconds * (1 + len(file.data) / 2**24)):
                verdict = Verdict("large" if large else "slow", f"{seconds:.1f} s, {memory} bytes")
            verdicts[name] = verdict
        return verdicts

    def _ask(self, path: Path | None, kind: str, patience: float) -> Any:
        """Let the process read. Raises TimeoutError for a hang, which waiting for a core of a busy machine is not."""
        self._pipe.send((path, kind))
        process = psutil.Process(self._process.pid)
        began = used = sum(process.cpu_times()[:2])
        idle = 0
        while not self._pipe.poll(1.0):
            before, used = used, sum(process.cpu_times()[:2])
            idle = idle + 1 if used == before and process.status() == psutil.STATUS_SLEEPING else 0
            if max(used - began, idle) > patience:
                raise TimeoutError
        return self._pipe.recv()

    def _clear(self) -> list[str]:
        """Empty the folder; return what was in it."""
        found = sorted(self.folder.iterdir())
        for path in found:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return [path.name for path in found]


def _serve(pipe: Connection, folder: Path, readers_of: str) -> None:
    log = os.open(folder.parent / _LOG, os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1), os.dup2(log, 2)
    # Whatever a file may make lands where it is seen.
    os.environ.update(dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP"), str(folder)), OMP_NUM_THREADS="1")
    sys.dont_write_bytecode = True
    os.chdir(folder)
    readers, called = pkgutil.resolve_name(readers_of)(folder), set()
    sys.setprofile(lambda frame, *_: called.add((frame.f_code.co_filename, frame.f_code.co_name)))
    with contextlib.suppress(EOFError):
        while True:
            path, kind = pipe.recv()
            asked = {name: reader for name, reader in readers.items() if kind in reader.kinds}
            pipe.send({name: _read(path, reader) for name, reader in asked.items()} if path else _limited(called))


def _limited(called: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Limit the memory to ROOM more than is in use now; return which functions of ours were called so far."""
    sys.setprofile(None)
    process = psutil.Process()
    process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + ROOM, psutil.RLIM_INFINITY))
    places = {(Path(file).resolve(), name) for file, name in called if os.path.isabs(file)}
    return {(file.relative_to(ROOT).as_posix(), name) for file, name in places if file.is_relative_to(ROOT)}


def _read(path: Path, reader: Any) -> tuple[Verdict, float, int, int]:
    """Return what a reader made of a file, the seconds and bytes that it took, and the bytes that it may take."""
    before, began = psutil.Process().memory_info().rss, time.process_time()
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory so far begins anew
    verdict, value = _judged(reader.read, path)
    seconds, status = time.process_time() - began, Path("/proc/self/status").read_text().splitlines()
    # Not ru_maxrss, which a process inherits from the one that started it.
    highest = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    if verdict.kind == "read" and reader.check is not None:
        (kind, text), right = _judged(reader.check, path, value)
        verdict = Verdict("read wrongly", text) if kind != "read" or right is False else verdict
    return verdict, seconds, highest - before, reader.memory


def _judged(read: Callable[..., Any], *arguments: Any) -> tuple[Verdict, Any]:
    try:
        return Verdict("read"), read(*arguments)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what this is looking for
        # The pack's own class of error is another one than the trainer's: each has imported its own.
        ours = any(base.__module__.endswith("respo_train.core.errors") for base in type(error).__mro__)
        return Verdict("refused", str(error)) if ours else Verdict("defect", traceback.format_exc()[-3000:]), None
