"""Assign one concept to each image, with exact shares over any run of consecutive seeds and without any state.

The positions ..., -1, 0, 1, ... are cut into blocks. In a block of length L every concept occurs exactly `L * share`
times, in an order that is shuffled with the block's number as key. Image i under seed s takes position s + i.
"""

from __future__ import annotations

import hashlib
import math
import re
from bisect import insort
from collections.abc import Mapping
from fractions import Fraction
from heapq import heappop, heappush

from ..errors import RespoError
from ..files.text import limited
from .labels import LONGEST

MAX_BLOCK = 10_000
MAX_CONCEPTS = 256  # as in a module's file
_SWEEPS = 8
_WEIGHT = re.compile(r"\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}")


def parse_shares(text: str) -> dict[str, Fraction]:
    """Parse "woman 1, man 1" (weights: whole numbers or decimals) into shares that sum to 1, in the given order.

    Raises RespoError for anything else, for a repeated or long name, for more than 256 names, and for weights so fine
    that a block would exceed 10,000 images.
    """
    weights: dict[str, Fraction] = {}
    for entry in re.split(r"[,;\n]", limited(text, "the distribution")):
        if not entry.strip():
            continue
        name, *rest = entry.rsplit(maxsplit=1)
        if not rest or not _WEIGHT.fullmatch(rest[0]):
            raise RespoError(
                f"expected 'name weight' as in 'woman 1, man 1', found {entry.strip()[:80]!r}{_seem_labels(text)}"
            )
        name = name.strip()
        if len(name) > LONGEST:  # it is written once for each picture
            raise RespoError(f"expected names of at most {LONGEST} characters, found {name[:80]!r} … Shorten it.")
        if name in weights:
            raise RespoError(f"expected each concept once, found {name[:80]!r} twice")
        weights[name] = Fraction(rest[0] + "0" if rest[0].endswith(".") else rest[0])
        if len(weights) > MAX_CONCEPTS:
            raise RespoError(f"expected at most {MAX_CONCEPTS} concepts in a distribution, found more. Leave some out.")
    total = sum(weights.values())
    if total == 0:
        raise RespoError("expected at least one concept with a weight above 0, as in 'woman 1, man 1'")
    shares = {name: weight / total for name, weight in weights.items()}
    block_weights(shares)  # raises for what `assign` could not use
    return shares


def _seem_labels(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or re.search(r"\d", text):
        return ""
    return (
        f". The input 'distribution' was given {len(lines)} lines without weights: labels, one for each picture? Those "
        "belong in the 'labels' of Save Labelled Images or Fairness Report. Write shares here, or leave it empty."
    )


def assign(seed: int, count: int, shares: Mapping[str, Fraction]) -> list[str]:
    """Return the concepts of images 0 ... count - 1 under `seed`, which is any integer.

    The concept of image i is a pure function of `seed + i` and the shares, whatever order the shares are written in.
    Raises RespoError when the shares do not sum to 1.

    Among any n consecutive positions, a concept's count differs from n * share by at most 2 (1 - 1/q), with q the
    denominator of its reduced share: 1 for halves, 4/3 for thirds, always below 2. Proof: let x(n) be the concept's
    count among the first n positions of a block. `_block` keeps floor(n * share) <= x(n) <= ceil(n * share), so x(n) -
    n * share lies strictly between -1 and 1; being a multiple of 1/q, it lies within 1 - 1/q. It is 0 at both ends of a
    block. A window's count is the difference of two such prefixes plus whole blocks, which contribute no error.
    """
    weights = block_weights(shares)
    length = sum(weights.values())
    numbers = range(seed // length, (seed + count - 1) // length + 1) if count > 0 else ()
    blocks = {number: _block(number, weights) for number in numbers}
    return [blocks[position // length][position % length] for position in range(seed, seed + count)]


def block_weights(shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Return how often each concept occurs in one block, sorted by name. Raises RespoError as `assign` does."""
    if sum(shares.values()) != 1 or min(shares.values()) < 0:
        raise RespoError(f"expected shares that sum to 1, found {sum(shares.values())}")
    length = math.lcm(*(Fraction(share).denominator for share in shares.values()))
    if length > MAX_BLOCK:
        raise RespoError(
            f"expected weights that repeat within {MAX_BLOCK} images, but these need {length}. Round them, for example "
            "to whole percents."
        )
    return {name: int(shares[name] * length) for name in sorted(shares) if shares[name] > 0}


def _block(number: int, weights: Mapping[str, int]) -> list[str]:
    """Return block `number`: each name `weight` times, with every prefix less than one away from the exact share.

    Copy k (from 1) of a concept with share p must be at one of the places floor((k - 1) / p) + 1 ... ceil(k / p). This
    is equivalent to every prefix holding the floor or ceiling of its exact share. Such an order always exists: the
    places a ... b must take at most floor(b p) - ceil((a - 1) p) <= (b - a + 1) p copies of each concept, so never more
    copies than there are places; and then always taking the copy with the earliest last place finds an order (Glover
    1967; the rule is from Steiner and Yeomans 1993). Ties are broken at random. Afterwards neighbours are swapped at
    random where that is allowed. With equal shares every order is allowed and all are equally likely. The names are
    part of the random key, so two attributes with the same shares get independent orders.
    """
    names, length = list(weights), sum(weights.values())
    draw = Draws(f"{sorted(weights.items())} {number}")
    counts = [0] * len(names)
    waiting = [(1, index) for index in range(len(names))]  # a heap: the first place of a name's next copy, the name
    due: dict[int, list[int]] = {}  # the last place of a copy -> the names whose copies must be there by then, in order
    order: list[str] = []
    for place in range(1, length + 1):
        while waiting and waiting[0][0] <= place:
            _, index = heappop(waiting)
            insort(due.setdefault(-(-(counts[index] + 1) * length // weights[names[index]]), []), index)
        last = min(due)
        chosen = due[last].pop(draw.below(len(due[last])))
        if not due[last]:
            del due[last]
        counts[chosen] += 1
        heappush(waiting, (counts[chosen] * length // weights[names[chosen]] + 1, chosen))
        order.append(names[chosen])
    for _ in range(_SWEEPS):
        _swap_neighbours(order, weights, draw)
    return order


def _swap_neighbours(order: list[str], weights: Mapping[str, int], draw: Draws) -> None:
    """Swap adjacent places with probability 1/2 where every prefix keeps the floor or ceiling of its exact share."""
    length = len(order)
    counts = dict.fromkeys(weights, 0)
    for place in range(1, length):
        left, right = order[place - 1], order[place]
        counts[left] += 1
        enough = counts[left] - 1 >= place * weights[left] // length
        room = counts[right] + 1 <= -(-place * weights[right] // length)
        if left != right and enough and room and draw.below(2):
            order[place - 1], order[place] = right, left
            counts[left] -= 1
            counts[right] += 1


class Draws:
    """Pseudo-random integers from a text key. They must stay the same on every machine and in every version."""

    def __init__(self, key: str):
        self._key = hashlib.blake2b(key.encode(), digest_size=32).digest()
        self._index = 0

    def below(self, n: int) -> int:
        """Return an integer from 0 ... n - 1. The bias from the modulo is below 2^-50."""
        block = hashlib.blake2b(self._index.to_bytes(8, "little"), key=self._key, digest_size=8).digest()
        self._index += 1
        return int.from_bytes(block, "little") % n
