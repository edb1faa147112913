"""`python -m benchmarks.hostile_files [--count N] [--json FILE]`: hostile files through everything that reads files.

Each is a good file with something wrong. Whoever reads such files (benchmarks/hostile/entries.py) reads it in a process
of its own, which may take 1 GiB more than it has. Ends with status 1 when a file was neither read correctly nor refused
with our own error, took more than a second of the processor, ended or stopped the process, or left something behind.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from benchmarks.hostile.entries import ENTRIES, GOOD_ARCHIVE, KINDS
from benchmarks.hostile.explore import Tally, Tell, Verdict, command
from benchmarks.hostile.known import HostileFile, entries_of, known_files
from benchmarks.hostile.reading import ROOM, Reader, clear
from benchmarks.hostile.spoil import BYTES, Draw, pick

SECONDS = 1.0  # of the processor, for each reader
_AROUND = {"outside", GOOD_ARCHIVE, "respo", "reader.log"}


def of_another_kind(draw: Draw, _: bytes) -> bytes:
    """Take a good file of any kind."""
    return bytes(pick(draw, *pick(draw, *KINDS.values()).good()))


@st.composite
def hostile_files(draw: Draw, kind: str) -> HostileFile:
    """Draw a file of one of KINDS with something wrong, and sometimes with a little more."""
    spoil = draw(st.sampled_from((*KINDS[kind].ways, of_another_kind)))
    how, data = spoil.__name__, spoil(draw, pick(draw, *KINDS[kind].good()))
    if draw(st.integers(0, 3)) == 3:
        more = pick(draw, *BYTES[:3])
        how, data = f"{how} {more.__name__}", more(draw, data)
    return HostileFile(kind, how, data)


class Attack:
    """An empty folder, and the process that reads in it; in a `with` statement. `seconds`: that an entry may take."""

    def __init__(self, outer: Path, seconds: float = SECONDS):
        self.tally, self.seconds, self.folder, self.largest = Tally(), seconds, outer.resolve() / "respo", 0
        self.folder.mkdir()
        (self.folder.parent / "outside").write_bytes(KINDS["module"].good()[0])
        (self.folder.parent / GOOD_ARCHIVE).write_bytes(KINDS["archive"].good()[0])

    def __enter__(self) -> Attack:
        self.reader = Reader(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.pool.terminate()

    def run(self, count: int, tell: Tell = print) -> None:
        """Let about `count` files be read, shared out among the kinds, always the same ones."""
        shares = sum(kind.share for kind in KINDS.values())
        for name, kind in KINDS.items():
            share = count * kind.share // shares
            self.tally.explore(known_files(name), hostile_files(name), share, self.ask)
            tell(f"{name}: {self.tally.count} files, {len(self.tally.failures)} failures")

    def ask(self, file: HostileFile) -> dict[str, Verdict]:
        """Return what became of a file at each entry."""
        path = file.place(self.folder)
        answer = self.reader.read(path, entries_of(file.kind))
        left = [name for name in clear(self.folder) if not name.startswith(f"{path.stem}.")]
        left += {path.name for path in self.folder.parent.iterdir()} - _AROUND
        verdicts = {"any": Verdict("left behind", str(left))} if left else {}
        if answer is None:
            return {"any": Verdict("crash or hang")}
        room = 6 * max(len(file.data), file.size or 0)
        for name, (verdict, seconds, memory) in answer.items():
            self.largest = max(self.largest, memory)
            if verdict.is_good and (seconds > self.seconds or memory > min(ROOM, ENTRIES[name].memory + room)):
                kind = "slow" if seconds > self.seconds else "large"
                verdict = Verdict(kind, f"{seconds:.1f} s, {memory} bytes")
            verdicts[name] = verdict
        return verdicts


def attack(count: int, tell: Tell) -> Tally:
    """Attack in a folder of its own; return what came of it."""
    with tempfile.TemporaryDirectory() as outer, Attack(Path(outer)) as running:
        running.run(count, tell)
    running.tally.more = {"largest_bytes": running.largest, "starts": running.reader.starts}
    return running.tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print, write; returns the exit status."""
    return command("hostile_files", __doc__, 10_000, attack, arguments)


if __name__ == "__main__":
    sys.exit(main())
