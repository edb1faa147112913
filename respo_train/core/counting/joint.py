"""Assign one concept of each of several attributes to every image, with exact shares of all combinations.

There is no state. As in `balance`, positions are cut into blocks, and image i under seed s takes position s + i. A
block is just long enough to hold every combination's share exactly. Within a block the first attribute is assigned as
it would be on its own; each further attribute is then assigned on top of it.
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

Combination = tuple[str, ...]  # one concept of each attribute
Shares = tuple[tuple[str, Fraction], ...]
_PLACES = 100_000  # positions to try in total per attribute and block, about a tenth of a second with two concepts
_MANY = 10  # concepts; with more of them, the positions to try count for more, too
_CELLS = 500_000  # positions times concepts of one try, at most
_TRIES = 256  # orders to try, at most


def assign_jointly(seed: int, images: Sequence[int], attributes: Sequence[Mapping[str, Fraction]]) -> list[Combination]:
    """Return one combination of concepts for each of `images`, which are indices in the batch. `seed`: any integer.

    The combination of image i is a pure function of `seed + i` and the shares. A combination's share is the product of
    its concepts' shares, and every block holds it exactly. The first attribute is assigned exactly as `balance.assign`
    would assign it on its own. Raises RespoError when a block would have to be longer than 10,000 images.
    """
    sorted_shares = tuple(tuple(sorted((n, s) for n, s in shares.items() if s > 0)) for shares in attributes)
    length = _block_length(sorted_shares)
    return [_block((seed + i) // length, length, sorted_shares)[(seed + i) % length] for i in images]


@lru_cache(maxsize=32)
def _block_length(attributes: tuple[Shares, ...]) -> int:
    count = math.prod(len(shares) for shares in attributes)
    if count > MAX_BLOCK:  # checked before they are listed
        raise RespoError(f"expected at most {MAX_BLOCK} combinations of concepts, found {count}. Leave some out.")
    shares = {
        str(combination): math.prod((share for _, share in combination), start=Fraction(1))
        for combination in itertools.product(*attributes)
    }
    length = sum(block_weights(shares).values())
    most = max(map(len, attributes), default=0)
    if len(attributes) > 1 and length * most > _CELLS:
        raise RespoError(
            f"expected combinations that repeat within {_CELLS // most} images for an attribute of {most} concepts, "
            f"but these need {length}. Leave some concepts out, or round the weights."
        )
    return length


@lru_cache(maxsize=32)
def _block(number: int, length: int, attributes: tuple[Shares, ...]) -> list[Combination]:
    """Return block `number`, which holds each combination exactly as often as its share requires.

    For each further attribute, several orders are tried until every prefix holds the floor or the ceiling of that
    attribute's exact shares, as `balance` guarantees for one attribute. With two attributes such an order was found for
    all shares that we tried, so the bound of `balance.assign` holds for each attribute over every window; the same is
    true of three attributes with equal shares. Where no such order is found, the closest one is taken (three attributes
    with unequal shares: within 2). The tests measure this.
    """
    first, *further = attributes
    combinations: list[Combination] = [(name,) for name in assign(number * length, length, dict(first))]
    for shares in further:
        weights = block_weights(dict(shares))
        tries = max(1, min(_TRIES, _PLACES * _MANY // (length * max(len(weights), _MANY))))
        keys = (f"{sorted(weights.items())} {number} {n}" for n in range(tries))
        combinations = _first_within_one(_extended(combinations, weights, Draws(key)) for key in keys)
    return combinations


def _first_within_one(tries: Iterator[tuple[Fraction, list[Combination]]]) -> list[Combination]:
    """Return the first order whose prefixes are all off by less than one image, or else the closest order."""
    best: tuple[Fraction, list[Combination]] | None = None
    for found in tries:
        if best is None or found[0] < best[0]:
            best = found
        if best[0] < 1:
            break
    assert best is not None
    return best[1]


def _extended(
    combinations: list[Combination], weights: Mapping[str, int], draw: Draws
) -> tuple[Fraction, list[Combination]]:
    """Give each position of a block one more concept; return the worst error of a prefix, and the new block.

    Each position gets the concept that lags furthest behind its share, counted both over the whole block and among the
    positions with the same combination so far. Ties are broken at random. No combination gets a concept more often than
    the complete block needs it, so the shares are exact at the end of the block.
    """
    length = sum(weights.values())
    room = {
        (combination, name): count * weight // length
        for combination, count in Counter(combinations).items()
        for name, weight in weights.items()
    }
    given: Counter[str] = Counter()
    taken: Counter[tuple[Combination, str]] = Counter()
    seen: Counter[Combination] = Counter()
    worst = 0
    order: list[Combination] = []
    for place, combination in enumerate(combinations, start=1):
        seen[combination] += 1
        behind = {
            name: (place + seen[combination]) * weight - (given[name] + taken[combination, name]) * length
            for name, weight in weights.items()
            if taken[combination, name] < room[combination, name]
        }
        furthest = max(behind.values())
        last = [name for name, by in behind.items() if by == furthest]
        name = last[draw.below(len(last))]
        given[name] += 1
        taken[combination, name] += 1
        order.append((*combination, name))
        worst = max(worst, *(abs(given[other] * length - place * weight) for other, weight in weights.items()))
    return Fraction(worst, length), order
