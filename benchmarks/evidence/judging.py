"""From finished cells to all figures, each task's kept until something that it depends on changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from respo_train.core.checkpoint import file_sha256
from respo_train.evaluation import figures as E
from respo_train.evaluation.figures import Drawn, Figure

from . import bench, results
from .asks import CONCEPTS, PLAIN, Task
from .cells import Cell, Store
from .code import ROOT, files_sha256
from .measure import FAIRNESS, Examiner, Figures, drawn_of
from .plan import UNMODIFIED, Plan
from .reference import REFERENCE, load_real
from .second_judge import load_second
from .training import Trained

CODE = [ROOT / "benchmarks" / "evidence" / name for name in ("measure.py", "second_judge.py")]
PERFECT, COIN = "perfect", "coin_flip"
Modules = Mapping[str, Mapping[str, Trained]]


def measured(plan: Plan, modules: Modules, store: Store, out: Path, at_once: int = 1) -> dict[str, Figures]:
    """Return every row's figures, and those of a perfect method and of a coin under the same assignment.

    `at_once`: rows that are judged side by side.
    """
    judge, segmenter = bench.examiners()
    examiner = Examiner(judge, segmenter, load_second(), load_real(bench.JUDGE))
    reader = _Reader(plan, modules, store, examiner, out / "figures")
    for task in plan.tasks(UNMODIFIED):
        reader.before(task.prompts)  # now, as all rows need them
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
        self._plan, self._modules, self._store, self._examiner, self._kept = plan, modules, store, examiner, kept
        self._before: dict[str, list[Drawn]] = {}
        self._known = [file_sha256(path) for path in (bench.JUDGE, bench.SEGMENTER, REFERENCE)] + [files_sha256(CODE)]

    def figures(self, name: str) -> Figures:
        """Return a row's figures over all its tasks."""
        found: Figures = {}
        for task in self._plan.tasks(name):
            cells = self._plan.cells(name, task, self._modules[name])
            found |= self._remembered(name, task, cells)
        return found

    def drawn(self, cells: Sequence[Cell]) -> list[Drawn]:
        """Return the pictures of finished cells."""
        found = []
        for cell in cells:
            pictures = self._store.load(cell)
            if pictures is None:
                raise RuntimeError(f"{self._store.path(cell)} is gone")
            found.append(drawn_of(cell.ask, pictures))
        return found

    def before(self, prompts: str) -> list[Drawn]:
        """Return the unmodified model's pictures of a list of prompts."""
        if prompts not in self._before:
            self._before[prompts] = self.drawn(self._base(prompts))
        return self._before[prompts]

    def _base(self, prompts: str) -> list[Cell]:
        return self._plan.cells(UNMODIFIED, PLAIN[prompts], {})

    def _remembered(self, name: str, task: Task, cells: Sequence[Cell]) -> Figures:
        signatures = [cell.signature for cell in (*cells, *self._base(task.prompts))]
        key = hashlib.sha256(json.dumps([task.name, signatures, self._known]).encode()).hexdigest()[:32]
        path = self._kept / f"{key}.json"
        if not path.exists():
            results.write(path, {name: self._measure(name, task, cells)})
        return results.read(path)[name]

    def _measure(self, name: str, task: Task, cells: Sequence[Cell]) -> Figures:
        print(f"Judging {name}: {task.name}", flush=True)
        if name == UNMODIFIED:
            return self._examiner.plain(task.prompts, self.before(task.prompts))
        after = self.drawn(cells)
        before = [
            _first(one, len(two.images)).asking(two.asked)
            for one, two in zip(self.before(task.prompts), after, strict=True)
        ]
        if task.contrary:
            return self._examiner.explicit(task.name, [cell.ask for cell in cells], before, after)
        return self._examiner.task(task.name, before, after)


def _first(one: Drawn, count: int) -> Drawn:
    """Return the first pictures: of the unmodified model there may be more than a row has."""
    return Drawn(one.group, one.prompt, one.images[:count], one.asked[:count], one.held_out)


def _ideals(plan: Plan, reader: _Reader) -> dict[str, Figures]:
    """Return the scores that need no pictures, of the assignment that all rows share."""
    found: dict[str, Figures] = {PERFECT: {}, COIN: {}}
    tasks = {task.name: task for name in plan.methods for task in plan.tasks(name) if task.name in FAIRNESS}
    for name, task in tasks.items():
        asked = [
            one.asking(", ".join(cell) for cell in ask.wishes())
            for one, ask in zip(reader.before(task.prompts), plan.asks(UNMODIFIED, task), strict=True)
        ]
        concepts = [CONCEPTS[attribute] for attribute in FAIRNESS[name]]
        found[PERFECT][f"deviation_{name}"] = E.perfect(asked, *concepts)
        found[COIN][f"deviation_{name}"] = E.coin_flip(asked, *concepts)
    return found
