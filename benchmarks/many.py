"""Many module files, classes and pictures: seconds at n and at 4 n, so that what grows faster than its input shows.

`python -m benchmarks.many` takes 20,000 files, 5,000 classes and 4,096 pictures. No model and no host is needed.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.command import Row, run, whole
from respo_train.core.counting.fairness import report, sentence, to_json
from respo_train.core.counting.labels import parse_labels
from respo_train.core.counting.running_total import new_of
from respo_train.core.counting.seats import Seats, parse_given, shares_given
from respo_train.core.counting.total_file import TotalFile
from respo_train.core.files.checkpoint import read_metadata, save_attribute
from respo_train.core.files.write import sweep
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.evaluation.cells import Cell, Store
from respo_train.evaluation.protocol import Ask

FILES, CLASSES, PICTURES = 20_000, 5_000, 4_096
MOST_CONCEPTS = 256  # of a module
Case = Callable[[int, Path], Callable[[], object]]  # so many things, an empty folder -> what is timed


def rows(options: Namespace) -> Iterator[Row]:
    """Yield each case's seconds at n / 4 and at n, and the exponent of how they grow."""
    for name, (every, case) in CASES.items():
        count = max(8, every // options.part)
        before, after = _seconds(case, count // 4), _seconds(case, count)
        exponent = math.log(after / before, 4)
        yield name, {"n": count, "seconds_at_a_quarter": before, "seconds": after, "exponent": exponent}


def _seconds(case: Case, count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        work = case(count, Path(folder))
        started = time.process_time()
        work()
        return max(time.process_time() - started, 1e-4)


def _modules(count: int, folder: Path) -> Callable[[], object]:
    module = ConceptModule(2, 2, 2)
    own = Attribute("a", "fairness", {"b": module}, Architecture("unet-2-2", 2, 2, 0, 2), {"name": "m"}, {})
    for number in range(count):
        path = folder / f"{number}.safetensors"
        path.hardlink_to(folder / "0.safetensors") if number else save_attribute(path, own)

    def work() -> object:
        sweep(folder)
        return [read_metadata(path) for path in folder.iterdir()]

    return work


def _classes(count: int, _: Path) -> Callable[[], object]:
    names = [f"class {number}" for number in range(count)]
    pairs = [(names[i % count], names[(i * 7) % count]) for i in range(2 * count)]

    def work() -> object:
        found = report("attribute", names, pairs)
        return sentence(found), to_json(found)

    return work


def _labels(count: int, _: Path) -> Callable[[], object]:
    text = "\n".join("woman" if number % 2 else "man" for number in range(count))
    return lambda: (parse_labels(text, count), shares_given(parse_given(text, [("woman", "man")]), 0))


def _total(count: int, folder: Path) -> Callable[[], object]:
    keys = [f"{number:016x}" for number in range(count)]
    pairs = [("woman", "man" if number % 3 else "woman") for number in range(64)]

    def work() -> None:  # in batches of 64, as a queue counts them, each read and written
        file = TotalFile(folder / "total.json", {})
        for first in range(0, count, 64):
            part = keys[first : first + 64]
            if first:
                file.read()
            file.add(new_of(file.total, part, pairs[: len(part)])[0])

    return work


def _seats(count: int, _: Path) -> Callable[[], object]:
    names = [f"c{number}" for number in range(MOST_CONCEPTS)]
    seats = Seats((tuple((name, Fraction(1, len(names))) for name in names),), seed=1)
    return lambda: [[row[0] == name for row in seats.of(count)] for name in names]


def _cells(count: int, folder: Path) -> Callable[[], object]:
    store = Store(folder)
    cells = [Cell(Ask("a", "b", f"c {number}", number, 1), 0, 1, {"n": number}, None) for number in range(count)]
    picture = np.zeros((1, 8, 8, 3), np.uint8)

    def work() -> object:
        for cell in cells:
            store.save(cell, picture)
        return [(store.state(cell), store.load(cell)[:]) for cell in cells]

    return work


CASES: Mapping[str, tuple[int, Case]] = {
    "module files: the list, each one's metadata": (FILES, _modules),
    "classes: Fairness Report": (CLASSES, _classes),
    "pictures: labels": (PICTURES, _labels),
    "pictures: a running total, 64 at a time": (PICTURES, _total),
    "pictures: who gets which of 256 concepts": (PICTURES, _seats),
    "pictures: cells of an evaluation": (PICTURES, _cells),
}
OPTIONS = {"--part": whole("take only one N-th of everything", 1, 1)}

if __name__ == "__main__":
    sys.exit(run("many", __doc__, rows, OPTIONS))
