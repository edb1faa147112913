"""A row's pictures of a task: what is drawn and judged as one, and published with what made it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from respo_train import __version__
from respo_train.core.files.checkpoint import file_sha256
from respo_train.core.files.write import write_atomically
from respo_train.evaluation.cells import Cell, Store, digest_of
from respo_train.evaluation.drawing import Open, Painter
from respo_train.evaluation.figure import Figure
from respo_train.evaluation.seen import labels
from respo_train.judges.emoji_world import Judge

from . import bench, results
from .asks import PLAIN, Task
from .measure import FAIRNESS
from .methods import RESPO
from .plan import SURROUNDINGS, UNMODIFIED, Plan
from .reference import REFERENCE
from .training import Modules

PUBLISHED = Path(__file__).resolve().parent / "figures.json"
CODE = ("nodes", "respo_train/core", "respo_train/evaluation", "benchmarks/evidence")
SAMPLE = 6  # pictures of a set whose labels are published, for `--check` to draw again


@dataclass(frozen=True)
class PictureSet:
    """A row's cells of a task. `before`: the unmodified model's, which they are compared with."""

    method: str
    task: Task
    cells: tuple[Cell, ...]
    before: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """Return "row: task"."""
        return f"{self.method}: {self.task.name}"

    @cached_property
    def made(self) -> Mapping[str, Any]:
        """Return what the figures are made with, as plain values: the same ones in every Python and on every machine.

        `nodes`: our own nodes in the first workflow, and what is set on them. `workflows`: a digest of every workflow
        that the server is sent; prompts, seeds and all settings stand in these.
        """
        graph = self.cells[0].work[0].graph
        nodes = {f"{node['class_type']} ({name})": _set_on(node) for name, node in graph.items()}
        judges = {path.name: file_sha256(path) for path in (bench.JUDGE, bench.SEGMENTER, REFERENCE)}
        return {
            "nodes": {name: values for name, values in nodes.items() if name.startswith("Respo")},
            "pictures": sum(cell.count for cell in self.cells),
            "workflows": digest_of([cell.about["workflows"] for cell in (*self.cells, *self.before)]),
            "modules": {name: sha256 for cell in self.cells for name, sha256 in cell.about["modules"].items()},
            "judges": judges,
            **{name: self.cells[0].about[name] for name in SURROUNDINGS},
        }

    def file(self, folder: Path) -> Path:
        """Return where its figures are kept on this machine: elsewhere for other code."""
        return folder / f"{digest_of([self.name, self.made, bench.code_sha256(*CODE)])[:32]}.json"


def _set_on(node: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node["inputs"].items() if not isinstance(value, list)}


def sets_of(plan: Plan, modules: Modules) -> list[PictureSet]:
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
        if one.name not in published:
            needed += (*one.before, *one.cells)
        elif one.task.name in FAIRNESS and shows_others(sets, published):
            # Side by side; of our own row also the worst profession, wherever it is.
            needed += (*one.before, *(one.cells if one.method == RESPO else one.cells[:1]))
    return list({cell.key: cell for cell in needed}.values())


def shows_others(sets: Sequence[PictureSet], published: Collection[str]) -> bool:
    """Say whether a page shows other pictures than the published one, if there is one: only sets of FAIRNESS are."""
    return not published or any(one.task.name in FAIRNESS and one.name not in published for one in sets)


def read_published(path: Path = PUBLISHED) -> dict[str, Any]:
    """Return the published sets: name -> what made it (`made`), the version that did (`respo`), `figures`, `sample`."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def keep_published(sets: Sequence[PictureSet], folder: Path, path: Path = PUBLISHED) -> Collection[str]:
    """Put the published figures of sets that are made alike into `folder`, where judging looks; return their names."""
    known = read_published(path)
    own = [one for one in sets if known.get(one.name, {}).get("made") == one.made]
    for one in own:
        figures = {name: Figure.from_dict(plain) for name, plain in known[one.name]["figures"].items()}
        results.write(one.file(folder), {one.method: figures})
    return {one.name for one in own}


def publish(
    sets: Sequence[PictureSet], kept: Collection[str], folder: Path, store: Store, path: Path = PUBLISHED
) -> None:
    """Write down what this run made, and the sets in `kept` as they are published, for later runs to go by."""
    known, judge = read_published(path), bench.examiners()[0]
    found = {}
    for one in sets:
        if one.name in kept:
            found[one.name] = known[one.name]
            continue
        figures = {name: figure.to_dict() for name, figure in results.read(one.file(folder))[one.method].items()}
        sample = sample_of(judge, one.cells[0], store.load(one.cells[0])[:SAMPLE])
        found[one.name] = {"respo": __version__, "made": one.made, "sample": sample, "figures": figures}
    write_atomically(path, (json.dumps(found, indent=1) + "\n").encode())


def sample_of(judge: Judge, cell: Cell, pictures: Any) -> dict[str, Any]:
    """Return the prompt and the judge's labels of its first pictures, each picture's in one text."""
    drawn = cell.ask.drawn(pictures)
    seen = zip(*(labels(judge, drawn, attribute) for attribute in judge.classes), strict=True)
    return {"prompt": cell.ask.prompt, "labels": [", ".join(own) for own in seen]}


def check(plan: Plan, modules: Modules, opened: Open, path: Path = PUBLISHED) -> int:
    """Draw each published set's sample again, judge it and say what differs; return the number of sets that do."""
    known, judge, differ = read_published(path), bench.examiners()[0], 0
    with opened(0) as painter:
        for one in sets_of(plan, modules):
            said = _differs(one, known.get(one.name, {}), plan, modules, painter, judge)
            differ += said.startswith("differs")
            print(f"{one.name}: {said}", flush=True)
    return differ


def _differs(
    one: PictureSet, entry: Mapping[str, Any], plan: Plan, modules: Modules, painter: Painter, judge: Judge
) -> str:
    if "made" not in entry:
        return "not published"
    others = [name for name, value in one.made.items() if entry["made"].get(name) != value]
    if others:
        return f"differs: published with other {', '.join(others)}"
    if "sample" not in entry:
        return "no sample is published"
    ask = replace(one.cells[0].ask, count=len(entry["sample"]["labels"]))
    cell = plan.cell(one.method, ask, modules[one.method])
    now = sample_of(judge, cell, painter.draw(cell))
    if now == entry["sample"]:
        return f"{cell.count} pictures drawn again, the judge sees the same"
    pairs = zip(entry["sample"]["labels"], now["labels"], strict=True)
    return "differs: " + "; ".join(f"published {then!r}, now {label!r}" for then, label in pairs if then != label)
