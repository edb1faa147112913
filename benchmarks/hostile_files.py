"""`python -m benchmarks.hostile_files [--count N] [--json FILE]`: hostile files through everything that reads files.

Each is a good file with something wrong. Whoever reads such files (benchmarks/hostile/entries.py) reads it in a process
of its own, which may take 1 GiB more than it has. Ends with status 1 when a file was neither read correctly nor refused
with our own error, took more than a second of the processor, ended or stopped the process, or left something behind.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from benchmarks.hostile.archive_files import good_archives
from benchmarks.hostile.entries import ENTRIES, GOOD_ARCHIVE, KINDS
from benchmarks.hostile.explore import Tally, Tell, Verdict, command
from benchmarks.hostile.known import LINKS, HostileFile, entries_of, good_files, known_files
from benchmarks.hostile.module_files import good_modules, large
from benchmarks.hostile.reading import Reader
from benchmarks.hostile.spoil import BYTES, Draw, pick

SECONDS = 1.0  # of the processor, for each reader
_AROUND = {"outside", GOOD_ARCHIVE, "respo", "reader.log"}


@st.composite
def hostile_files(draw: Draw, kind: str) -> HostileFile:
    """Draw a file of one of KINDS with something wrong."""
    chosen = KINDS[kind]
    good = pick(draw, *chosen.good())
    way = draw(st.integers(0, 99))
    if way == 99:
        return HostileFile(kind, "link", link=draw(st.sampled_from(sorted(LINKS))))
    if way == 98:
        hole = (pick(draw, b"", good), pick(draw, 100, 127, 300, 4000) << 20)
        data, size = large(draw) if kind == "module" and pick(draw, True, False) else hole
        return HostileFile(kind, "large", data, size)
    if way == 97:
        return HostileFile(kind, "of_another_kind", pick(draw, *KINDS[draw(st.sampled_from(sorted(KINDS)))].good()))
    spoil = draw(st.sampled_from(chosen.ways))
    how, data = spoil.__name__, spoil(draw, good)
    if draw(st.integers(0, 3)) == 3:  # and a little more
        more = pick(draw, *BYTES[:3])
        how, data = f"{how} {more.__name__}", more(draw, data)
    return HostileFile(kind, how, data)


def clear(folder: Path) -> list[str]:
    """Empty a folder; return what was in it."""
    found = sorted(folder.iterdir())
    for path in found:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return [path.name for path in found]


class Attack:
    """An empty folder, and the process that reads in it; in a `with` statement. `seconds`: that an entry may take."""

    def __init__(self, outer: Path, seconds: float = SECONDS):
        self.tally, self.seconds, self.folder = Tally(), seconds, outer.resolve() / "respo"
        self.folder.mkdir()
        (self.folder.parent / "outside").write_bytes(good_modules()[0])
        (self.folder.parent / GOOD_ARCHIVE).write_bytes(good_archives()[0])
        good = [(self.folder / KINDS[file.kind].name, file.data, entries_of(file.kind)) for file in good_files()]
        self.reader = Reader(self.folder, good)
        self.slowest, self.largest, self.ways = (0.0, ""), (0, ""), Counter[str]()

    def __enter__(self) -> Attack:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.end()

    def run(self, count: int, tell: Tell = print) -> None:
        """Let about `count` files be read, shared out among the kinds, always the same ones."""
        shares = sum(kind.share for kind in KINDS.values())
        for name, kind in KINDS.items():
            for file in known_files(name):
                self.tally.ask(file, self.ask)
            self.tally.explore(hostile_files(name), count * kind.share // shares, self.ask)
            tell(f"{name}: {self.tally.count} files, {len(self.tally.failures)} sorts of failures")

    def ask(self, file: HostileFile) -> dict[str, Verdict]:
        """Return what became of a file at each entry."""
        self.ways[file.how.split()[0]] += 1
        path = file.place(self.folder)
        answer = self.reader.read(path, entries_of(file.kind))
        left = [name for name in clear(self.folder) if not name.startswith(f"{path.stem}.")]
        left += {path.name for path in self.folder.parent.iterdir()} - _AROUND
        verdicts = {"any": Verdict("left behind", "", str(left))} if left else {}
        if isinstance(answer, str):
            return verdicts | {"any": Verdict(answer)}
        for name, (verdict, seconds, memory) in answer.items():
            self.slowest = max(self.slowest, (seconds, f"{name}: {file}"))
            self.largest = max(self.largest, (memory, f"{name}: {file}"))
            if verdict.is_good and (seconds > self.seconds or memory > ENTRIES[name].memory):
                verdict = Verdict("slow" if seconds > self.seconds else "large", "", f"{seconds:.1f} s, {memory} bytes")
            verdicts[name] = verdict
        return verdicts


def attack(count: int, tell: Tell) -> Tally:
    """Attack in a folder of its own; return what came of it."""
    with tempfile.TemporaryDirectory() as outer, Attack(Path(outer)) as running:
        running.run(count, tell)
    running.tally.more = {
        "ways": running.ways,
        "slowest": {"seconds": round(running.slowest[0], 3), "of": running.slowest[1]},
        "largest": {"MiB": running.largest[0] >> 20, "of": running.largest[1]},
        "starts": running.reader.starts,
    }
    return running.tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print, write; returns the exit status."""
    return command("hostile_files", __doc__, 10_000, attack, arguments)


if __name__ == "__main__":
    sys.exit(main())
