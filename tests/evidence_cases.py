"""Asks, graphs, cells and plans that the tests of the evidence share. Nothing is drawn here by a model."""

from __future__ import annotations

from collections import Counter

import numpy as np

from benchmarks.evidence import graphs
from benchmarks.evidence.asks import GENDER, PLAIN, PROMPTS, SKIN, TASKS, WEAPONS, ask
from benchmarks.evidence.methods import METHODS
from benchmarks.evidence.plan import Plan, Scale, chosen
from emoji_world import world
from respo_train.evaluation.cells import Cell
from respo_train.evaluation.protocol import Ask

FAIR = ("gender", "skin", "joint")
FILES = {GENDER: "g.safetensors", SKIN: "s.safetensors", WEAPONS: "w.safetensors"}


def ask_for(task: str, text: str = "", count: int = 5) -> Ask:
    return next(ask(TASKS[task], one, count) for one in PROMPTS[TASKS[task].prompts] if text in ("", one.prompt))


def graphs_of(method: str, own: Ask, batch: int = 4) -> list[graphs.Piece]:
    return graphs.pieces(METHODS[method], own, FILES, batch)


def kinds(graph: graphs.Graph) -> Counter[str]:
    return Counter(node["class_type"] for node in graph.values())


def cell_of(number: int = 0, count: int = 3, **about: str) -> Cell:
    own = ask(PLAIN["neutral"], PROMPTS["neutral"][number], count)
    return Cell(own, 0, count, {"prompt": own.prompt, "count": count, **about}, graphs_of("unmodified", own))


def noise(cell: Cell) -> np.ndarray:
    side = world.IMAGE_SIZE
    return np.random.default_rng(cell.ask.seed).integers(0, 256, (cell.count, side, side, 3), dtype=np.uint8)


class Fake:
    """A server that draws noise and remembers which prompts it was given."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def draw(self, cell: Cell) -> np.ndarray:
        self.log.append(cell.ask.prompt)
        return noise(cell)


def tiny(*names: str, only: tuple[str, ...] = ("gender",)) -> Plan:
    return Plan(chosen(names), Scale(2, 2, 2, 2), "float32", only, ("doctor", "scientist"))
