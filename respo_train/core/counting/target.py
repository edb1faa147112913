"""Whether pictures meet a target: a test of their shares, the test's power, and how many pictures it needs.

A share passes when two one-sided exact binomial tests show that it lies within the tolerance (Schuirmann 1987, doi
10.1007/BF01068419), and a target is met when all its shares pass. As all have to, each is tested at the full level
(Berger and Hsu 1996, doi 10.1214/ss/1032280304). A target is missed when a test shows that one share lies outside; as
any one is enough, these tests divide their level among them (Bonferroni). In between nothing is shown: draw more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..errors import RespoError
from .balance import parse_shares

LEVEL = 0.05  # how often a target may be called met, or missed, that is not
POWER = 0.8  # how often a model that is exactly on target passes with the number of pictures that is recommended
PASS, FAIL, OPEN = "pass", "fail", "open"
MOST = 100_000  # pictures; no test is planned with more
_DRAWS = 10_000  # simulated audits, which give a power to within .01


@dataclass(frozen=True)
class Target:
    """The wanted share of each concept, and how far each may be away from it: with .1, a half is .4 to .6."""

    shares: Mapping[str, Fraction]
    tolerance: float

    @property
    def comparisons(self) -> int:
        """How many different shares there are: with two concepts one share says it all."""
        return len(self.shares) - (len(self.shares) == 2)


def parse_target(text: str, tolerance: float) -> Target:
    """Read "woman 1, man 1" with a tolerance. Raises RespoError."""
    shares = parse_shares(text)
    if len(shares) < 2:
        raise RespoError(f"expected a target for two or more concepts, as in 'woman 1, man 1', found {text[:80]!r}.")
    if not 0 < tolerance < 0.5:  # NaN is neither
        raise RespoError(
            f"expected a tolerance above 0 and below .5, found {tolerance}. .1 is 10 percentage points to either side."
        )
    return Target(shares, tolerance)


def accepted(count: int, share: float, tolerance: float) -> tuple[int, int]:
    """Return the least and the most of `count` pictures with which a share passes; (1, 0) where no number does."""
    low, high = share - tolerance, share + tolerance
    least, most = 0, count
    if low > 0:
        least = int(np.flatnonzero(_at_least(count, low) <= LEVEL)[0]) if low**count <= LEVEL else count + 1
    if high < 1:
        most = int((_at_most(count, high) <= LEVEL).sum()) - 1
    return (least, most) if least <= most else (1, 0)


def judged(counts: Mapping[str, int], target: Target, groups: int = 1) -> str:
    """Return PASS, FAIL or OPEN for what was counted. `groups`: how many are tested, any one of which may fail."""
    count = sum(counts[name] for name in target.shares)
    if not count:
        return OPEN
    ranges = {name: accepted(count, float(share), target.tolerance) for name, share in target.shares.items()}
    if all(least <= counts[name] <= most for name, (least, most) in ranges.items()):
        return PASS
    level = LEVEL / (target.comparisons * groups)
    missed = any(
        _is_outside(counts[name], count, float(share), target.tolerance, level) for name, share in target.shares.items()
    )
    return FAIL if missed else OPEN


def power(count: int, target: Target) -> float:
    """Return how often a model whose shares are exactly the target's passes with `count` decided pictures."""
    ranges = [accepted(count, float(share), target.tolerance) for share in target.shares.values()]
    if (1, 0) in ranges:
        return 0.0
    least, most = np.array(ranges).T
    shares = np.array([float(share) for share in target.shares.values()])
    drawn = np.random.default_rng(0).multinomial(count, shares / shares.sum(), _DRAWS)
    return float(((least <= drawn) & (drawn <= most)).all(-1).mean())


def needed(target: Target, wanted: float = POWER) -> int:
    """Return how many decided pictures the test needs for that power, rounded up to tens. Raises RespoError."""
    low, high = 1, 2
    while power(10 * high, target) < wanted:
        low, high = high, 2 * high
        if 10 * high > MOST:
            raise RespoError(
                f"expected a tolerance that {MOST:,} pictures can show, found {target.tolerance}: choose a larger one."
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(10 * middle, target) >= wanted else (middle, high)
    return 10 * high


def plan(attribute: str, target: Target) -> str:
    """Say what is tested and how many pictures that takes, before there are any."""
    count = needed(target)
    ranges = {name: accepted(count, float(share), target.tolerance) for name, share in target.shares.items()}
    wanted = ", ".join(f"{name} {float(share):.0%}" for name, share in target.shares.items())
    passes = ", ".join(f"{least} to {most} show {name}" for name, (least, most) in ranges.items())
    return (
        f"{attribute}: {wanted}, each within {100 * target.tolerance:g} percentage points. It needs {count} pictures "
        f"of which the judge is sure, in each subfolder if there are any. Of {count} it passes when {passes}. A model "
        f"that is exactly on target passes then {power(count, target):.0%} of the time, and one that is off by the "
        f"tolerance at most {LEVEL:.0%}."
    )


def _is_outside(hits: int, count: int, share: float, tolerance: float, level: float) -> bool:
    low, high = share - tolerance, share + tolerance
    below = low > 0 and _at_most(count, low)[hits] <= level
    above = high < 1 and _at_least(count, high)[hits] <= level
    return bool(below or above)


def _at_most(count: int, share: float) -> NDArray[np.float64]:
    """Return P(X <= k) of a binomial distribution, for k from 0 to `count`."""
    places = np.arange(1, count + 1)
    ways = np.concatenate([[0.0], np.cumsum(np.log((count - places + 1) / places))])
    hits = np.arange(count + 1)
    chances = np.exp(ways + hits * math.log(share) + (count - hits) * math.log1p(-share))
    summed: NDArray[np.float64] = np.cumsum(chances)
    return summed


def _at_least(count: int, share: float) -> NDArray[np.float64]:
    """Return P(X >= k), for k from 0 to `count`."""
    return _at_most(count, 1 - share)[::-1]
