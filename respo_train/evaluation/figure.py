"""One published number: a value, its 95 % bootstrap interval, and how many pictures it is made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.counting.metrics import Interval, interval, resamples
from ..core.errors import RespoError
from .drawn import Drawn, strata

_FEWEST = 5  # pictures that are resampled among each other
SAMPLES = 4000  # of a bootstrap: the interval's ends are then good to about 2 % of its width


@dataclass(frozen=True)
class Figure(Interval):
    """An interval of `n` pictures. Where nothing can be said `value` is NaN and the note says why."""

    n: int
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON, which knows no NaN."""
        numbers = {name: getattr(self, name) for name in ("value", "low", "high")}
        found: dict[str, Any] = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
        return {**found, "n": self.n, **({"note": self.note} if self.note else {})}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Figure:
        """Read what `to_dict` returned."""
        value, low, high = (math.nan if plain[k] is None else float(plain[k]) for k in ("value", "low", "high"))
        return cls(value, low, high, int(plain["n"]), str(plain.get("note", "")))


def nothing(n: int, why: str) -> Figure:
    """Return a figure without a value; its note says why there is none."""
    return Figure(math.nan, math.nan, math.nan, n, why)


def joined(*notes: str) -> str:
    """Join the notes that are not empty."""
    return "; ".join(note for note in notes if note)


def mean_of(values: NDArray[Any], drawn: Sequence[Drawn], note: str = "") -> Figure:
    """Return the mean over all pictures. `values`: one for each picture of `drawn`, in order; NaN is left out.

    The pictures are resampled within their group and what they were asked to show: quotas fix how many there are. Where
    that leaves fewer than 5 together, too few to show a spread, they are resampled within their group, or among all.
    """
    numbers = np.asarray(values, dtype=np.float64)
    places = strata(drawn)
    if len(numbers) != len(places):
        raise RespoError(f"expected a number for each of {len(places)} pictures, found {len(numbers)}")
    kept = np.isfinite(numbers)
    if not kept.any():
        return nothing(0, note or "no pictures")
    numbers, places = numbers[kept], [place for place, keep in zip(places, kept, strict=True) if keep]
    sums = np.zeros(SAMPLES)
    for _, drawn_again in resamples(_resampled_together(places), SAMPLES):
        sums += numbers[drawn_again].sum(1)
    found = interval(float(numbers.mean()), sums / len(numbers))
    return Figure(found.value, found.low, found.high, len(numbers), note)


def _resampled_together(places: Sequence[tuple[str, str]]) -> Sequence[Hashable]:
    """Return each picture's stratum: the finest in which no stratum has too few pictures."""
    for parts in (2, 1):
        found = [place[:parts] for place in places]
        if min(Counter(found).values()) >= _FEWEST:
            return found
    return [()] * len(places)


def ratio_of(first: NDArray[np.bool_], second: NDArray[np.bool_], drawn: Sequence[Drawn], none: str) -> Figure:
    """Return mean(second) / mean(first), flags of the same pictures, which are resampled together in their strata.

    `none`: what to say where `first` never happens, as nothing is divided by zero.
    """
    if not first.any():
        return nothing(len(first), none)
    tops, bottoms = np.zeros(SAMPLES), np.zeros(SAMPLES)
    for _, drawn_again in resamples(strata(drawn), SAMPLES):
        tops += second[drawn_again].sum(1)
        bottoms += first[drawn_again].sum(1)
    found = interval(float(second.mean() / first.mean()), tops / np.maximum(bottoms, 1))
    return Figure(found.value, found.low, found.high, len(first))


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


def paired_difference(first: NDArray[Any], second: NDArray[Any], drawn: Sequence[Drawn], note: str = "") -> Figure:
    """Return the mean of `second - first`, measured on the same pictures, one number for each in both.

    Both are resampled with the same pictures, so what makes a picture hard in both cancels out.
    """
    change = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    return mean_of(change, drawn, note)
