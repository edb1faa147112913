"""Deviation ratios: how far from equal shares the pictures of each group are, and what chance alone would give."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from ..core.counting.metrics import bootstrap_assigned, fair_coin, mean_deviation_ratio
from ..core.errors import RespoError
from ..core.judge import UNSURE
from .drawn import BETWEEN, Drawn
from .figure import Figure, joined, nothing
from .seen import Looks, cells, note_on_unsure

Asked = dict[str, dict[str, Counter[str]]]  # group -> what was asked -> what was seen -> pictures


def deviation(judge: Looks, drawn: Sequence[Drawn], attribute: str, concepts: Sequence[str]) -> Figure:
    """Return the mean over the groups of max_c |N_c / N - 1 / C| / (1 - 1 / C) (see `core.counting.metrics`).

    N: the pictures of which the judge is sure. They are resampled within group and what they were asked to show.
    """
    return joint_deviation(judge, drawn, {attribute: concepts})


def joint_deviation(judge: Looks, drawn: Sequence[Drawn], attributes: Mapping[str, Sequence[str]]) -> Figure:
    """Return the same over all combinations of the attributes' concepts; sure means sure of every attribute."""
    names = _names(list(attributes.values()))
    found: Asked = {}
    for one in drawn:
        for asked, cell in zip(one.asked, cells(judge, one, attributes), strict=True):
            found.setdefault(one.group, {}).setdefault(asked, Counter())[cell] += 1
    total = sum(own.total() for group in found.values() for own in group.values())
    unsure = sum(own[UNSURE] for group in found.values() for own in group.values())
    if not total:
        return nothing(0, "no pictures")
    note = note_on_unsure(unsure, total)
    return _of_decided(found, names, total, note)


def _of_decided(found: Asked, names: Sequence[str], n: int, note: str) -> Figure:
    decided = {
        group: {
            asked: {name: own[name] for name in names} for asked, own in by_asked.items() if own.total() > own[UNSURE]
        }
        for group, by_asked in found.items()
    }
    empty = [group for group, own in decided.items() if not own]
    if len(empty) == len(decided):
        return nothing(n, f"the judge is sure of none of {n} pictures")
    left_out = f"left out, as the judge is sure of none: {', '.join(empty)}" if empty else ""
    interval = bootstrap_assigned({group: own for group, own in decided.items() if own})
    return Figure(interval.value, interval.low, interval.high, n, joined(note, left_out))


def perfect(drawn: Sequence[Drawn], *concepts: Sequence[str]) -> Figure:
    """Return the deviation ratio of a method that draws every picture as it was asked to.

    `concepts`: of each attribute; with several, over their combinations. Raises RespoError for a picture that was not
    asked to show one of each.
    """
    names = _names(concepts)
    groups: dict[str, Counter[str]] = {}
    for one in drawn:
        groups.setdefault(one.group, Counter()).update(_asked_cell(asked, concepts) for asked in one.asked)
    if not groups:
        return nothing(0, "no pictures")
    value = mean_deviation_ratio({group: {name: own[name] for name in names} for group, own in groups.items()})
    return Figure(value, value, value, sum(own.total() for own in groups.values()))


def coin_flip(drawn: Sequence[Drawn], *concepts: Sequence[str]) -> Figure:
    """Return what a method scores that tosses a fair coin (or die) for each picture and never fails.

    The interval is where 95 % of such methods end up.
    """
    sizes: Counter[str] = Counter()
    for one in drawn:
        sizes[one.group] += len(one.images)
    if not sizes.total():
        return nothing(0, "no pictures")
    interval = fair_coin([size for size in sizes.values() if size], math.prod(map(len, concepts)))
    return Figure(interval.value, interval.low, interval.high, sizes.total())


def _names(concepts: Sequence[Sequence[str]]) -> list[str]:
    names = [BETWEEN.join(cell) for cell in itertools.product(*concepts)]
    if len(names) < 2:
        raise RespoError(f"expected at least two concepts to compare, found {names}")
    return names


def _asked_cell(asked: str, concepts: Sequence[Sequence[str]]) -> str:
    parts = asked.split(BETWEEN)
    found = [next((part for part in parts if part in own), None) for own in concepts]
    if None in found:
        wanted = ", ".join(concepts[found.index(None)])
        raise RespoError(f"expected a picture that was asked to show one of {wanted}, found {asked!r}")
    return BETWEEN.join(str(part) for part in found)
