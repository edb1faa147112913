"""Which concepts each image gets of several attributes at once: exact shares of all combinations, without any state.

As in `balance`, positions are cut into blocks, and image i under seed s takes position s + i. A block is as long as the
shares of all combinations need. In it the first attribute goes as it would alone; each further one is laid over it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from ..errors import RespoError
from .balance import MAX_BLOCK, Draws, assign, block_weights

Cell = tuple[str, ...]  # one concept of each attribute
Shares = tuple[tuple[str, Fraction], ...]
_PLACES = 100_000  # to fill while looking for a good order: a tenth of a second for each attribute of a block
_TRIES = 256


def assign_jointly(seed: int, images: Sequence[int], attributes: Sequence[Mapping[str, Fraction]]) -> list[Cell]:
    """Return the combination of concepts of each of `images` (indices in the batch) under `seed`, any integer.

    Image i's is a pure function of `seed + i` and of the shares. A combination's share is the product of its concepts';
    every block holds it exactly. The first attribute is shared out as `assign` does it alone. Raises RespoError when
    there are so many combinations, or so fine ones, that a block would exceed 10,000 images.
    """
    parts = tuple(tuple(sorted((n, s) for n, s in shares.items() if s > 0)) for shares in attributes)
    length = _block_length(parts)
    return [_block((seed + i) // length, length, parts)[(seed + i) % length] for i in images]


@lru_cache(maxsize=32)
def _block_length(parts: tuple[Shares, ...]) -> int:
    combinations = math.prod(len(shares) for shares in parts)
    if combinations > MAX_BLOCK:  # before they are listed
        raise RespoError(
            f"expected at most {MAX_BLOCK} combinations of concepts, found {combinations}. Leave some out."
        )
    cells = itertools.product(*parts)
    shares = {str(cell): math.prod((share for _, share in cell), start=Fraction(1)) for cell in cells}
    return sum(block_weights(shares).values())


@lru_cache(maxsize=32)
def _block(number: int, length: int, parts: tuple[Shares, ...]) -> list[Cell]:
    """Return block `number`: each combination exactly as often as its share says.

    Orders of a further attribute are tried until one keeps every prefix within floor or ceil of that attribute's own
    shares, as `balance` does alone. Two attributes found one for all shares that we tried, so that
    `balance.imbalance_bound` holds for each of them over every window; so did three with equal shares. Where none is
    found the closest is taken (three with unequal shares: within 2). The tests measure it.
    """
    first, *further = parts
    cells: list[Cell] = [(name,) for name in assign(number * length, length, dict(first))]
    for shares in further:
        weights = block_weights(dict(shares))
        keys = (f"{sorted(weights.items())} {number} {n}" for n in range(min(_TRIES, _PLACES // length)))
        cells = _first_within_one(_laid_over(cells, weights, Draws(key)) for key in keys)
    return cells


def _first_within_one(tries: Iterator[tuple[Fraction, list[Cell]]]) -> list[Cell]:
    """Return the first order whose prefixes all hold floor or ceil of the exact shares, else the closest."""
    best: tuple[Fraction, list[Cell]] | None = None
    for found in tries:
        if best is None or found[0] < best[0]:
            best = found
        if best[0] < 1:
            break
    assert best is not None
    return best[1]


def _laid_over(cells: list[Cell], weights: Mapping[str, int], draw: Draws) -> tuple[Fraction, list[Cell]]:
    """Give each place of a block one name more; return the worst error of a prefix, and the block.

    A place gets the name that is furthest behind, overall and among the places with the same combination so far, added
    up; ties are broken at random. No combination gets a name more often than the block has it: exact at its end.
    """
    length = sum(weights.values())
    room = {
        (cell, name): count * weight // length
        for cell, count in Counter(cells).items()
        for name, weight in weights.items()
    }
    given: Counter[str] = Counter()
    taken: Counter[tuple[Cell, str]] = Counter()
    seen: Counter[Cell] = Counter()
    worst = 0
    order: list[Cell] = []
    for place, cell in enumerate(cells, start=1):
        seen[cell] += 1
        behind = {
            name: (place + seen[cell]) * weight - (given[name] + taken[cell, name]) * length
            for name, weight in weights.items()
            if taken[cell, name] < room[cell, name]
        }
        last = [name for name, by in behind.items() if by == max(behind.values())]
        name = last[draw.below(len(last))]
        given[name] += 1
        taken[cell, name] += 1
        order.append((*cell, name))
        worst = max(worst, *(abs(given[other] * length - place * weight) for other, weight in weights.items()))
    return Fraction(worst, length), order
