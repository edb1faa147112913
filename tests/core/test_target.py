"""Pass or fail against a target: the test keeps its level, has the power that it says, and never guesses."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from respo_train.core.counting.target import (
    FAIL,
    LEVEL,
    OPEN,
    PASS,
    Target,
    accepted,
    judged,
    needed,
    parse_target,
    plan,
    power,
)
from respo_train.core.errors import RespoError

EVEN = parse_target("woman 1, man 1", 0.1)
THREE = parse_target("light 1, medium 1, dark 1", 0.1)


def how_often(result: str, share: float, count: int, draws: int = 4000) -> float:
    """How often a model that draws a woman with that chance gets the result."""
    women, times = np.unique(np.random.default_rng(1).binomial(count, share, draws), return_counts=True)
    hits = [judged({"woman": int(n), "man": count - int(n)}, EVEN) == result for n in women]
    return float(times[hits].sum() / draws)


@pytest.mark.parametrize("count", [100, 220, 221, 500])
@pytest.mark.parametrize("share", [0.4, 0.6])
def test_at_the_edge_of_the_tolerance_few_pass_and_few_fail(count: int, share: float) -> None:
    assert how_often(PASS, share, count) <= LEVEL + 0.012  # three standard errors of 4,000 draws
    assert how_often(FAIL, share, count) <= LEVEL + 0.012


def test_on_target_most_pass_and_none_fail() -> None:
    count = needed(EVEN)
    assert how_often(PASS, 0.5, count) == pytest.approx(power(count, EVEN), abs=0.03)
    assert power(count, EVEN) >= 0.8 > power(count - 30, EVEN)
    assert how_often(FAIL, 0.5, count) == 0
    assert how_often(FAIL, 0.75, count) > 0.95


def test_the_range_that_passes_is_the_exact_tests() -> None:
    """P(X >= 101 | 220, .4) is .043 and P(X >= 100) is .057, by scipy.stats.binom."""
    assert accepted(220, 0.5, 0.1) == (101, 119)
    assert accepted(20, 0.5, 0.1) == (1, 0)  # no count of so few shows anything
    assert accepted(100, 1.0, 0.1) == (96, 100)  # nothing lies above 1
    assert accepted(100, 0.0, 0.1) == (0, 4)


def test_results() -> None:
    assert judged({"woman": 110, "man": 110}, EVEN) == PASS
    assert judged({"woman": 125, "man": 95}, EVEN) == OPEN
    assert judged({"woman": 160, "man": 60}, EVEN) == FAIL
    assert judged({"woman": 1, "man": 0}, EVEN) == judged({"woman": 0, "man": 0}, EVEN) == OPEN
    assert judged({"light": 90, "medium": 90, "dark": 80, "other": 5000}, THREE) == PASS
    assert judged({"light": 136, "medium": 62, "dark": 62}, THREE) == FAIL


def test_many_groups_are_each_harder_to_fail() -> None:
    counts = {"woman": 149, "man": 71}
    assert judged(counts, EVEN) == FAIL
    assert judged(counts, EVEN, groups=18) == OPEN
    assert judged({"woman": 110, "man": 110}, EVEN, groups=18) == PASS


def test_tighter_and_finer_targets_need_more() -> None:
    assert [needed(parse_target("woman 1, man 1", tolerance)) for tolerance in (0.2, 0.1, 0.05)] == [60, 220, 880]
    assert needed(THREE) > needed(EVEN)
    with pytest.raises(RespoError, match="choose a larger one"):
        needed(parse_target("woman 1, man 1", 0.001))


def test_the_plan_says_it_before() -> None:
    said = plan("gender", EVEN)
    for part in ("gender: woman 50%, man 50%", "within 10 percentage points", "220 pictures", "101 to 119 show woman"):
        assert part in said


@pytest.mark.parametrize("tolerance", [0.0, -0.1, 0.5, float("nan")])
def test_refuses_a_tolerance(tolerance: float) -> None:
    with pytest.raises(RespoError, match="expected a tolerance"):
        parse_target("woman 1, man 1", tolerance)


@pytest.mark.parametrize("text", ["woman 1", "", "woman, man", "woman 1, woman 1"])
def test_refuses_a_target(text: str) -> None:
    with pytest.raises(RespoError, match="expected"):
        parse_target(text, 0.1)


def test_shares_may_be_unequal() -> None:
    target = parse_target("woman 3, man 1", 0.1)
    assert target == Target({"woman": Fraction(3, 4), "man": Fraction(1, 4)}, 0.1)
    assert judged({"woman": 300, "man": 100}, target) == PASS
    assert judged({"woman": 200, "man": 200}, target) == FAIL
