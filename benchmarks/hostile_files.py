"""`python -m benchmarks.hostile_files [--count N] [--json FILE]`: hostile files through everything that reads files.

Each is a good module, or a good file of another project, with something wrong. The reader, the importer and the host's
nodes read it in a process of their own, which may take 1 GiB more than it has. Ends with status 1 when a file was
neither read correctly nor refused with our own error, took more than a second of the processor, ended or stopped the
process, or left something behind.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.hostile.files import HostileFile, good_files, hostile_file
from setup_steps.report import ROOT

SECONDS = 1.0  # of the processor, for each reader
PATIENCE = 60.0  # of the clock, for a file: longer than any waiting for a busy processor
STARTING = 600.0


@dataclass
class Tally:
    """What came of all files. `failures`: (reader, kind) and the first number of that sort -> what happened."""

    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    failures: dict[tuple[str, str, str], tuple[int, str]] = field(default_factory=dict)
    failed: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int, str] = (0.0, -1, "")
    largest: tuple[int, int, str] = (0, -1, "")
    starts: int = 0

    def fail(self, number: int, reader: str, kind: str, how: str, text: str) -> None:
        self.failed += 1
        self.failures.setdefault((reader, kind, text.strip().splitlines()[-1][:150] if text else how), (number, text))


class Worker:
    """The process that reads, in a `with` statement; started again when it has ended."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.starts = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def read(self, path: Path, concepts: str | None) -> dict[str, Any] | str:
        """Return what the readers made of a file, or what became of the process."""
        if self._process is None:
            self._start()
        return self._ask({"path": str(path), "concepts": concepts}, PATIENCE)

    def _start(self) -> None:
        """Start, and read good files until everything is loaded that will be; only then memory is counted."""
        self.starts += 1
        # Whatever a file may make lands where it is seen.
        places = {name: str(self.folder) for name in ("HOME", "TMPDIR", "TEMP", "TMP")}
        variables = {
            **os.environ,
            **places,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", "benchmarks.hostile.file_worker", str(self.folder)]
        log = open(self.folder.parent / "worker.log", "a", encoding="utf-8")  # noqa: SIM115  # the process's own
        with log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        for good in good_files():
            path = good.place(self.folder)
            answer = self._ask({"path": str(path), "concepts": None}, STARTING)
            if isinstance(answer, str):
                raise RuntimeError(f"{answer}\n{(self.folder.parent / 'worker.log').read_text()[-3000:]}")
            clear(self.folder)
        self._tell({"cap": True})

    def _ask(self, question: dict[str, Any], patience: float) -> dict[str, Any] | str:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            self._tell(question)
            ready, _, _ = select.select([self._process.stdout], [], [], patience)
            line = self._process.stdout.readline() if ready else None
        except BrokenPipeError:
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._end()
        return "hang" if line is None else "crash"

    def _tell(self, question: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def clear(folder: Path) -> list[str]:
    """Empty a folder; return what was in it."""
    found = sorted(entry.name for entry in folder.iterdir())
    for name in found:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return found


def attack(
    files: Iterable[tuple[int, HostileFile]], seconds: float = SECONDS, tell: Callable[[str], None] = print
) -> Tally:
    """Let each of the numbered files be read, and judge. `seconds`: that each reader may take of the processor."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as outer:
        folder = Path(outer).resolve() / "respo"
        folder.mkdir()
        outside = folder.parent / "outside"
        outside.write_bytes(good_files()[0].data)
        with Worker(folder) as worker:
            for number, file in files:
                tally.ways[file.how.split()[0]] += 1
                answer = worker.read(file.place(folder), file.concepts)
                _judge(tally, number, file, answer, seconds)
                left = [name for name in clear(folder) if name != file.name]
                if left or sorted(entry.name for entry in folder.parent.iterdir()) != [
                    "outside",
                    "respo",
                    "worker.log",
                ]:
                    tally.fail(number, "all", "left behind", file.how, str(left))
                if number % 1000 == 999:
                    tell(f"{number + 1}: {tally.failed} failures")
            tally.starts = worker.starts
    return tally


def _judge(tally: Tally, number: int, file: HostileFile, answer: dict[str, Any] | str, seconds: float) -> None:
    if isinstance(answer, str):
        tally.kinds.setdefault("all", Counter())[answer] += 1
        tally.fail(number, "all", answer, file.how, "")
        return
    for reader, (kind, text, took) in answer["readers"].items():
        tally.slowest = max(tally.slowest, (took, number, f"{reader}: {file.how}"))
        kind = "slow" if took > seconds and kind != "defect" else kind
        tally.kinds.setdefault(reader, Counter())[kind] += 1
        if kind in ("defect", "slow"):
            tally.fail(number, reader, kind, file.how, text if kind == "defect" else f"{file.how}: {took:.1f} s")
        elif kind == "refused" and reader in ("reader", "importer"):
            tally.refusals[f"{reader}: {text[:60]}"] += 1
    tally.largest = max(tally.largest, (answer["memory"], number, file.how))
    if answer["memory"] > 2**30:
        tally.fail(number, "all", "large", file.how, f"{answer['memory'] >> 20} MiB")


def table(tally: Tally) -> str:
    """Kinds of answers by reader, as Markdown."""
    kinds = sorted({kind for counts in tally.kinds.values() for kind in counts})
    rows = [["reader", *kinds], ["---"] * (len(kinds) + 1)]
    rows += [[reader, *(str(counts[kind]) for kind in kinds)] for reader, counts in tally.kinds.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print, write; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile_files", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="how many files (default 10000)")
    parser.add_argument("--first", type=int, default=0, help="the first file's number, to see one again (default 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    numbered = ((number, hostile_file(number)) for number in range(options.first, options.first + options.count))
    tally = attack(numbered, tell=lambda line: print(line, flush=True))
    for (reader, kind, _), (number, text) in tally.failures.items():
        print(f"\nfile {number}: {reader}: {kind}: {hostile_file(number).how}\n{text}", flush=True)
    figures = {
        "count": options.count,
        "kinds": tally.kinds,
        "failed": tally.failed,
        "failures": [{"of": list(key), "number": number} for key, (number, _) in tally.failures.items()],
        "ways": tally.ways,
        "slowest": {"seconds": round(tally.slowest[0], 3), "number": tally.slowest[1], "of": tally.slowest[2]},
        "largest": {"MiB": tally.largest[0] >> 20, "number": tally.largest[1], "of": tally.largest[2]},
        "starts": tally.starts,
    }
    print(f"\n{table(tally)}\n")
    print(json.dumps({key: value for key, value in figures.items() if key != "kinds"}, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
