"""From finished cells to all figures, each task's kept until something that it depends on changes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock

from respo_train.evaluation.cells import Cell, Store
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.figure import Figure
from respo_train.evaluation.ratios import coin_flip, perfect

from . import bench, results
from .asks import CONCEPTS, PLAIN, drawn_for
from .measure import FAIRNESS, Examiner, Figures
from .plan import UNMODIFIED, Plan
from .reference import load_real
from .second_judge import load_second
from .sets import PictureSet, sets_of
from .training import Modules

PERFECT, COIN = "perfect", "coin_flip"


def measured(plan: Plan, modules: Modules, store: Store, out: Path, at_once: int = 1) -> dict[str, Figures]:
    """Return every row's figures, and those of a perfect method and of a coin under the same assignment.

    `at_once`: rows that are judged side by side.
    """
    judge, segmenter = bench.examiners()
    examiner = Examiner(judge, segmenter, load_second(), load_real(bench.JUDGE))
    reader = _Reader(plan, modules, store, examiner, out / "figures")
    with ThreadPoolExecutor(at_once) as pool:
        found = dict(zip(modules, pool.map(reader.figures, modules), strict=True))
    found |= _ideals(plan, reader)
    for name, own in modules.items():
        if own:
            seconds = sum(one.seconds for one in own.values())
            found[name]["training_seconds"] = Figure(seconds, seconds, seconds, 0, "of one core, all attributes")
    for name, figure in bench.judge_accuracy().items():
        found.setdefault("judge", {})[f"accuracy_{name}"] = figure
    return found


class _Reader:
    """Reads cells, and remembers the unmodified model's pictures, which everything is compared with."""

    def __init__(self, plan: Plan, modules: Modules, store: Store, examiner: Examiner, kept: Path) -> None:
        self._plan, self._store, self._examiner, self._kept = plan, store, examiner, kept
        self._sets = sets_of(plan, modules)
        self._before: dict[str, list[Drawn]] = {}
        self._loading = Lock()

    def figures(self, name: str) -> Figures:
        """Return a row's figures over all its tasks."""
        found: Figures = {}
        for one in self._sets:
            if one.method == name:
                found |= results.remembered(one.file(self._kept), partial(self._measure, one))[name]
        return found

    def drawn(self, cells: Sequence[Cell]) -> list[Drawn]:
        """Return the pictures of finished cells."""
        return [drawn_for(cell.ask, self._store.load(cell)) for cell in cells]

    def before(self, prompts: str) -> list[Drawn]:
        """Return the unmodified model's pictures of a list of prompts; rows that are judged side by side share them."""
        with self._loading:
            if prompts not in self._before:
                self._before[prompts] = self.drawn(self._plan.cells(UNMODIFIED, PLAIN[prompts], {}))
        return self._before[prompts]

    def _measure(self, one: PictureSet) -> dict[str, Figures]:
        name, task = one.method, one.task
        print(f"Judging {name}: {task.name}", flush=True)
        before = self.before(task.prompts)
        if name == UNMODIFIED:
            return {name: self._examiner.plain(task.prompts, before)}
        after = self.drawn(one.cells)
        # The same seeds: of the unmodified model there may be more pictures than a row has.
        before = [
            replace(first, images=first.images[: len(second.images)], asked=second.asked)
            for first, second in zip(before, after, strict=True)
        ]
        if task.contrary:
            return {name: self._examiner.explicit(task.name, [cell.ask for cell in one.cells], before, after)}
        return {name: self._examiner.task(task.name, before, after)}


def _ideals(plan: Plan, reader: _Reader) -> dict[str, Figures]:
    """Return the scores that need no pictures, of the assignment that all rows share."""
    found: dict[str, Figures] = {PERFECT: {}, COIN: {}}
    tasks = {task.name: task for name in plan.methods for task in plan.tasks(name) if task.name in FAIRNESS}
    for name, task in tasks.items():
        asked = [
            one.asking([", ".join(cell) for cell in ask.wishes()])
            for one, ask in zip(reader.before(task.prompts), plan.asks(UNMODIFIED, task), strict=True)
        ]
        concepts = [CONCEPTS[attribute] for attribute in FAIRNESS[name]]
        found[PERFECT][f"deviation_{name}"] = perfect(asked, *concepts)
        found[COIN][f"deviation_{name}"] = coin_flip(asked, *concepts)
    return found
