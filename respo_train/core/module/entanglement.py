"""How similar the directions of concepts are: adding one concept also brings in others that point the same way.

Only the constants are compared, because what maps of h add has no fixed direction.
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
    """Cosines between what two concepts add to h, -1 … 1; NaN when one of them is zero.

    `grid`: over all channels and places; `channels`: of the means over each channel.
    """

    first: str
    second: str
    grid: float
    channels: float


@torch.no_grad()
def overlaps(concepts: Mapping[str, ConceptModule]) -> list[Overlap]:
    """Return the overlap of every pair, largest first.

    Responsible and semantic parts are added; small grids are resized.
    """
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
