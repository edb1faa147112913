"""One published number: a value, its 95 % bootstrap interval, and how many pictures it is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RespoError
from .drawn import Drawn, strata

_FEWEST = 5  # pictures that are resampled among each other
SAMPLES = 4000  # of a bootstrap: the interval's ends are then good to about 2 % of its width


@dataclass(frozen=True)
class Figure:
    """`n` pictures. Where nothing can be said `value` is NaN and the note says why."""

    value: float
    low: float
    high: float
    n: int
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON, which knows no NaN."""
        numbers = {name: getattr(self, name) for name in ("value", "low", "high")}
        found: dict[str, Any] = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
        return {**found, "n": self.n, **({"note": self.note} if self.note else {})}


def nothing(n: int, why: str) -> Figure:
    """Return the figure that says nothing but why."""
    return Figure(math.nan, math.nan, math.nan, n, why)


def joined(*notes: str) -> str:
    """Return the notes that say something as one."""
    return "; ".join(note for note in notes if note)


def mean_of(values: NDArray[Any], drawn: Sequence[Drawn], note: str = "", seed: int = 0) -> Figure:
    """Return the mean over all pictures. `values`: one for each picture of `drawn`, in order; NaN is left out.

    The pictures are resampled within their group and what they were asked to show: quotas fix how many there are. Where
    that leaves fewer than 5 together, whose spread says too little, it is within their group, or among all.
    """
    numbers = np.asarray(values, dtype=np.float64)
    places = strata(drawn)
    if len(numbers) != len(places):
        raise RespoError(f"expected a number for each of {len(places)} pictures, found {len(numbers)}")
    kept = np.isfinite(numbers)
    if not kept.any():
        return nothing(0, note or "no pictures")
    rng = np.random.default_rng(seed)
    sums = np.zeros(SAMPLES)
    for found in _together(numbers[kept], [place for place, keep in zip(places, kept, strict=True) if keep]):
        sums += found[rng.integers(len(found), size=(SAMPLES, len(found)))].sum(1)
    low, high = np.percentile(sums / kept.sum(), [2.5, 97.5])
    return Figure(float(numbers[kept].mean()), float(low), float(high), int(kept.sum()), note)


def _together(numbers: NDArray[np.float64], places: Sequence[tuple[str, str]]) -> list[NDArray[np.float64]]:
    """Return the numbers that are resampled among each other."""
    for parts in (2, 1, 0):
        own: dict[tuple[str, ...], list[float]] = {}
        for place, number in zip(places, numbers, strict=True):
            own.setdefault(place[:parts], []).append(float(number))
        if parts == 0 or min(map(len, own.values())) >= _FEWEST:
            break
    return [np.array(found) for found in own.values()]


def share_of(flags: NDArray[Any], drawn: Sequence[Drawn], note: str = "") -> Figure:
    """Return the share of pictures that are flagged (1 or True); NaN is left out.

    Where all or none are, resampling finds no other number: the note says what may be true all the same, with 95 %
    certainty (the "rule of three": 3 / n).
    """
    found = mean_of(flags, drawn, note)
    if found.value in (0.0, 1.0) and found.n:
        what = "none" if found.value == 0 else "all"
        possible = f"{what} of {found.n}: the true share may be {min(300 / found.n, 100):.2g} % away"
        return Figure(found.value, found.low, found.high, found.n, joined(note, possible))
    return found


def paired_difference(
    first: NDArray[Any], second: NDArray[Any], drawn: Sequence[Drawn], note: str = "", seed: int = 0
) -> Figure:
    """Return the mean of `second - first`, measured on the same pictures, one number for each in both.

    The same pictures are drawn again for both, so what makes a picture hard in both is no difference.
    """
    change = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    return mean_of(change, drawn, note, seed)
