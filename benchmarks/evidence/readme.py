"""The README's table of all methods, from `benchmarks/results.json`: `python -m benchmarks.evidence.readme`."""

from __future__ import annotations

from collections.abc import Mapping

from respo_train.core.files.write import write_atomically

from . import results
from .bench import ROOT
from .judging import COIN
from .measure import Figures
from .tables import Column, table, value
from .targets import TARGETS

README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results.json"
FIRST = "<!-- written by `python -m benchmarks.evidence.readme` -->\n"
LAST = "<!-- up to here -->"
COLUMNS = (
    Column("gender", "deviation_gender", "ratio"),
    Column("skin tone", "deviation_skin", "ratio"),
    Column("both", "deviation_joint", "ratio"),
    Column("professions lost, points", "accuracy_lost_gender", "points"),
    Column("background, dB", "background_psnr_gender", "dB"),
    Column("explicit words kept, %", "explicit_kept", "share"),
    Column("weapons left, %", "weapons_ratio", "share"),
    Column("training, core minutes", "training_seconds", "minutes"),
    Column("drawing takes", "cost_ratio", "seconds"),
)


def block(found: Mapping[str, Figures]) -> str:
    """Return the table, without intervals (these stand in RESULTS.md), and what we aim at below it."""
    rows = {name: own for name, own in found.items() if name not in ("judge", COIN)}
    wanted = {target.metric: target.wanted for target in TARGETS}
    aims = " | ".join(wanted.get(column.metric, "") for column in COLUMNS)
    return "\n".join([*table(COLUMNS, rows, value), f"| *our aim* | {aims} |"]) + "\n"


def with_block(text: str, found: Mapping[str, Figures]) -> str:
    """Return a README's text with its table anew. Raises ValueError where the two marks are not in it."""
    before, first, rest = text.partition(FIRST)
    _, last, after = rest.partition(LAST)
    if not (first and last):
        raise ValueError(f"expected the lines {FIRST.strip()!r} and {LAST!r} around the table, found not both")
    return before + first + block(found) + last + after


def main() -> None:
    """Write the table into the README."""
    text = with_block(README.read_text(encoding="utf-8"), results.read(RESULTS))
    write_atomically(README, text.encode())
    print(f"wrote the table of {README}")


if __name__ == "__main__":
    main()
