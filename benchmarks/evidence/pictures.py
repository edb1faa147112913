"""The pictures of RESULTS.md: every method on the same seeds, and where our own row fails most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

from benchmarks.comfy_server import Pictures
from respo_train.core.files.write import replacing
from respo_train.evaluation.cells import Cell, Store
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.ratios import joint_deviation
from respo_train.evaluation.seen import Looks
from respo_train.evaluation.shares import obeyed
from respo_train.report.grid import Layout, draw_grid

from . import bench
from .asks import CONCEPTS, HEADS, PLAIN, TASKS, Task, drawn_for
from .measure import FAIRNESS
from .methods import RESPO
from .plan import UNMODIFIED, Plan
from .tables import title
from .training import Modules

Shown = list[tuple[str, str, str]]  # heading, text, file
ACROSS = 10
SIDE = 72  # pixels of a picture: web pages are to stay light
MANY, SMALL = 12, 36  # of more rows than these the pictures are smaller
TEXT = 15  # font size


def save(folder: Path, plan: Plan, store: Store, modules: Modules) -> Shown:
    """Write the pictures as JPEG, and return them with what to say of each."""
    folder.mkdir(parents=True, exist_ok=True)
    shown: Shown = []
    for name in FAIRNESS:
        rows = _side_by_side(plan, store, modules, TASKS[name])
        if len(rows) > 1:
            words = f"{TASKS[name].about[0].upper()}{TASKS[name].about[1:]}. {_asked(plan, modules, TASKS[name])}"
            shown.append((f"Side by side: {name}", words, _sheet(folder / f"side-by-side-{name}.jpg", rows)))
    if RESPO in modules:
        for name in FAIRNESS:
            if TASKS[name] in plan.tasks(RESPO):
                shown += _worst(folder, plan, store, modules, TASKS[name])
    return shown


def _side_by_side(plan: Plan, store: Store, modules: Modules, task: Task) -> list[tuple[str, Pictures]]:
    first = plan.cells(UNMODIFIED, PLAIN[task.prompts], {})[0]
    rows = [(title(UNMODIFIED, plan.methods), store.load(first)[:])] if _is_there(store, first) else []
    for name in modules:
        if name != UNMODIFIED and task in plan.tasks(name):
            cell = plan.cells(name, task, modules[name])[0]
            rows += [(title(name, plan.methods), store.load(cell)[:])] if _is_there(store, cell) else []
    return rows


def _is_there(store: Store, cell: Cell) -> bool:
    return store.state(cell) == "good"


def _asked(plan: Plan, modules: Modules, task: Task) -> str:
    """Say what the columns show: their prompt, and what was asked for in each, for the rows that share it."""
    firsts = {name: plan.asks(name, task)[0] for name in modules if name != UNMODIFIED and task in plan.tasks(name)}
    said = {}
    for shares in dict.fromkeys(ask.shares for ask in firsts.values()):
        rows = [name for name, ask in firsts.items() if ask.shares == shares]
        ask = max((firsts[name] for name in rows), key=lambda ask: ask.count)
        wishes = ", ".join(" ".join(wish) for wish in ask.wishes(0, min(ACROSS, ask.count)))
        said[wishes] = ", ".join(title(name, plan.methods) for name in rows)
    asked = "; ".join(wishes if len(said) == 1 else f"{wishes} ({rows})" for wishes, rows in said.items())
    return f"All are '{ask.prompt}', each column of one seed; asked for from left to right: {asked}."


def _worst(folder: Path, plan: Plan, store: Store, modules: Modules, task: Task) -> Shown:
    """Show the profession with the largest deviation, its pictures that are not as asked first."""
    judge, _ = bench.examiners()
    concepts = {HEADS[a]: CONCEPTS[a] for a in FAIRNESS[task.name]}
    cells = plan.cells(RESPO, task, modules[RESPO])
    drawn = [drawn_for(cell.ask, store.load(cell)) for cell in cells if _is_there(store, cell)]
    if not drawn:
        return []
    worst = max(drawn, key=lambda one: joint_deviation(judge, [one], concepts).value)
    figure = joint_deviation(judge, [worst], concepts)
    wrong = np.flatnonzero(~_as_asked(judge, worst, list(concepts)))
    rows = _rows_of(worst, wrong) or [("none", worst.images[:ACROSS])]
    words = (
        f"{worst.group}: deviation ratio {figure.value:.3f}; {len(wrong)} of {len(worst.images)} pictures are not as "
        f"asked, or the judge is unsure of them. Up to {ACROSS} of these, by what was asked:"
        if len(wrong)
        else f"{worst.group}: deviation ratio {figure.value:.3f}; all {len(worst.images)} pictures are as asked."
    )
    return [(f"The worst profession: {task.name}", words, _sheet(folder / f"worst-{task.name}.jpg", rows))]


def _as_asked(judge: Looks, one: Drawn, heads: Sequence[str]) -> np.ndarray:
    return np.all([obeyed(judge, [one], head) == 1 for head in heads], axis=0)


def _rows_of(one: Drawn, wrong: np.ndarray) -> list[tuple[str, Pictures]]:
    asked = dict.fromkeys(one.asked[i] for i in wrong)
    return [(wish, one.images[[i for i in wrong if one.asked[i] == wish][:ACROSS]]) for wish in asked]


def _sheet(path: Path, rows: Sequence[tuple[str, Pictures]]) -> str:
    """Write rows of pictures with their names on the left; return the file's name."""
    side, font = SMALL if len(rows) > MANY else SIDE, ImageFont.load_default(size=TEXT)
    margin = 20 + max(210, *(round(font.getlength(name)) for name, _ in rows))
    layout = Layout(margin, seam=3, row_gap=3, edge=3, text=TEXT)
    small = [(name.strip("*"), [[_resized(picture, side) for picture in own[:ACROSS]]]) for name, own in rows]
    with replacing(path) as file:
        draw_grid(small, layout).save(file, "JPEG", quality=82, optimize=True)
    return path.name


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))
