"""How far concepts point the same way: where they do, one comes along when the other is added.

Of their constants alone: what maps of h add has no one direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from .concept import ConceptModule
from .grid import resize


@dataclass(frozen=True)
class Overlap:
    """The cosines of what two concepts add to h, -1 … 1: over all places, and of the means over each channel.

    NaN where one of them is zero.
    """

    first: str
    second: str
    grid: float
    channels: float


@torch.no_grad()
def overlaps(concepts: Mapping[str, ConceptModule]) -> list[Overlap]:
    """Return every pair's overlap, the largest first. Both parts count; smaller grids are resized to the largest."""
    values = {name: module.responsible.value().shape[1:] for name, module in concepts.items()}
    height, width = (max(shape[axis] for shape in values.values()) for axis in (0, 1))
    deltas = {name: _whole(module, height, width) for name, module in concepts.items()}
    found = [
        Overlap(a, b, _cosine(deltas[a], deltas[b]), _cosine(deltas[a].mean((1, 2)), deltas[b].mean((1, 2))))
        for a, b in combinations(deltas, 2)
    ]
    return sorted(found, key=lambda pair: -abs(pair.grid) if pair.grid == pair.grid else 1.0)


def _whole(module: ConceptModule, height: int, width: int) -> Tensor:
    parts = module.responsible.value(), module.semantic.value()
    return sum((resize(part, height, width) for part in parts), torch.zeros(())).double()


def _cosine(a: Tensor, b: Tensor) -> float:
    lengths = a.norm() * b.norm()
    return float((a.flatten() @ b.flatten()) / lengths) if lengths else float("nan")
