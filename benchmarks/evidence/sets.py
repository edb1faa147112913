"""A row's pictures of a task: what is drawn and judged as one, and published under a key of all that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from respo_train.core.files.checkpoint import file_sha256

from . import bench, results
from .asks import PLAIN, Task
from .cells import Cell
from .code import ROOT, files_sha256
from .measure import FAIRNESS, Figures
from .methods import RESPO
from .plan import UNMODIFIED, Plan
from .reference import REFERENCE
from .training import Trained

PUBLISHED = ROOT / "benchmarks" / "evidence" / "figures.json"  # key -> figures, of the sets that RESULTS.md is made of
# What makes figures of pictures. Ours alone, without what they import: how a row is drawn is in its cells' signatures.
CODE = [ROOT / "respo_train" / "evaluation" / name for name in ("figures.py", "seen.py")]
OWN_CODE = [ROOT / "benchmarks" / "evidence" / name for name in ("measure.py", "second_judge.py", "asks.py")]


@dataclass(frozen=True)
class PictureSet:
    """A row's cells of a task. `before`: the unmodified model's, which they are compared with."""

    method: str
    task: Task
    cells: tuple[Cell, ...]
    before: tuple[Cell, ...]

    @cached_property
    def key(self) -> str:
        """Return "row: task", and 32 digits that other cells, another judge or other figures change."""
        signatures = [cell.signature for cell in (*self.cells, *self.before)]
        known = [file_sha256(path) for path in (bench.JUDGE, bench.SEGMENTER, REFERENCE)]
        known.append(files_sha256(CODE, alone=OWN_CODE))
        digest = hashlib.sha256(json.dumps([self.task.name, signatures, known]).encode()).hexdigest()
        return f"{self.method}: {self.task.name} {digest[:32]}"

    def file(self, folder: Path) -> Path:
        """Return where its figures are kept."""
        return folder / f"{self.key.rsplit(' ', 1)[1]}.json"


def sets_of(plan: Plan, modules: Mapping[str, Mapping[str, Trained]]) -> list[PictureSet]:
    """Return everything that a run is made of."""
    return [
        PictureSet(name, task, tuple(plan.cells(name, task, own)), before_of(plan, task))
        for name, own in modules.items()
        for task in plan.tasks(name)
    ]


def before_of(plan: Plan, task: Task) -> tuple[Cell, ...]:
    """Return the unmodified model's cells of a task's prompts."""
    return tuple(plan.cells(UNMODIFIED, PLAIN[task.prompts], {}))


def cells_to_draw(sets: Sequence[PictureSet], published: Collection[str] = ()) -> list[Cell]:
    """Return the cells whose pictures a run needs: of the sets that are not published, and what the page shows."""
    needed: list[Cell] = []
    for one in sets:
        if one.key not in published:
            needed += (*one.before, *one.cells)
        elif one.task.name in FAIRNESS:  # side by side; of our own row also the worst profession, wherever it is
            needed += (*one.before, *(one.cells if one.method == RESPO else one.cells[:1]))
    return list({cell.signature: cell for cell in needed}.values())


def keep_published(sets: Sequence[PictureSet], folder: Path, path: Path = PUBLISHED) -> Collection[str]:
    """Put the published figures of these sets into `folder`, where judging looks for them; return the sets' keys."""
    known = results.read(path) if path.exists() else {}
    own = [one for one in sets if one.key in known]
    for one in own:
        results.write(one.file(folder), {one.method: known[one.key]})
    return {one.key for one in own}


def publish(sets: Sequence[PictureSet], folder: Path, path: Path = PUBLISHED) -> None:
    """Write down the sets' figures, which lie in `folder`, so that a later run need not make them again."""
    found: dict[str, Figures] = {one.key: results.read(one.file(folder))[one.method] for one in sets}
    results.write(path, found)
