"""Change as few pictures as the shares allow: who stays as the model drew it, and what the others become.

The idea is that of ICM (CVPR 2026): look first at what each seed gives by itself, and steer only the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

from .balance import Draws

_T = TypeVar("_T")


def least_change(seen: Sequence[str], shares: Mapping[str, Fraction], seed: int) -> list[str]:
    """Return the concept that each picture is to show; it is what `seen` says for as many as possible.

    `seen`: what each picture shows now; any other text for one that shows no concept of `shares`, which sum to 1. Each
    concept gets its exact share, rounded up or down. `seed`: decides between pictures that are as good.
    """
    draw = Draws(f"least change {sorted(shares.items())} {seed} {len(seen)}")
    quotas = quotas_of(seen, shares, draw)
    left = Counter(quotas)
    labels: list[str | None] = [None] * len(seen)
    for place in _shuffled(range(len(seen)), draw):
        if left[seen[place]] > 0:
            left[seen[place]] -= 1
            labels[place] = seen[place]
    rest = iter(_shuffled([name for name in quotas for _ in range(left[name])], draw))
    return [name or next(rest) for name in labels]


def quotas_of(seen: Sequence[str], shares: Mapping[str, Fraction], draw: Draws) -> dict[str, int]:
    """Return how many pictures each concept gets.

    The pictures that rounding down leaves over go to concepts that have more than their quota already, as this keeps
    one picture more; then to the larger share, then by lot.
    """
    exact = {name: len(seen) * share for name, share in shares.items()}
    quotas = {name: int(value) for name, value in exact.items()}
    have = Counter(seen)
    open_ = _shuffled([name for name in sorted(exact) if exact[name] > quotas[name]], draw)
    open_.sort(key=lambda name: (have[name] > quotas[name], shares[name]), reverse=True)
    for name in open_[: len(seen) - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _shuffled(items: Sequence[_T], draw: Draws) -> list[_T]:
    """Return the items in an order that is the same on every machine (Fisher-Yates)."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = draw.below(last + 1)
        order[last], order[other] = order[other], order[last]
    return order
