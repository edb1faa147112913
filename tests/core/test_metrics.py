from __future__ import annotations

import pytest

from respo_train.core.errors import RespoError
from respo_train.core.metrics import (
    Interval,
    bootstrap,
    bootstrap_assigned,
    bootstrap_mean,
    deviation_ratio,
    fair_coin,
    mean_deviation_ratio,
)


def test_deviation_ratio_by_hand() -> None:
    assert deviation_ratio({"woman": 5, "man": 5}) == 0
    assert deviation_ratio({"woman": 0, "man": 7}) == 1
    assert deviation_ratio({"woman": 84, "man": 16}) == pytest.approx(0.68)  # SD 1.4's
    # 6 of 10 against 1/3: (.6 - 1/3) / (2/3)
    assert deviation_ratio({"a": 6, "b": 3, "c": 1}) == pytest.approx(0.4)
    # The furthest from fair may be the missing one: |0 - 1/3| / (2/3)
    assert deviation_ratio({"a": 5, "b": 5, "c": 0}) == pytest.approx(0.5)


def test_mean_is_over_professions_not_images() -> None:
    groups = {"doctor": {"woman": 0, "man": 2}, "nurse": {"woman": 50, "man": 50}}
    assert mean_deviation_ratio(groups) == pytest.approx(0.5)


def test_bootstrap_covers_the_truth() -> None:
    """Of 200 samples of 150 pictures with a true ratio of .5, about 95 % of the intervals hold it."""
    import numpy as np

    rng = np.random.default_rng(1)
    held = 0
    for women in rng.binomial(150, 0.75, 200):
        interval = bootstrap({"woman": int(women), "man": 150 - int(women)}, samples=1000)
        held += interval.low <= 0.5 <= interval.high
    assert 180 <= held <= 198


def test_bootstrap_narrows_with_the_root_of_the_images() -> None:
    few = bootstrap({"woman": 30, "man": 10})
    many = bootstrap({"woman": 3000, "man": 1000})
    assert few.value == many.value == pytest.approx(0.5)
    assert 8 < (few.high - few.low) / (many.high - many.low) < 12
    groups = {str(i): {"woman": 30, "man": 10} for i in range(16)}
    mean = bootstrap_mean(groups)
    assert 3 < (few.high - few.low) / (mean.high - mean.low) < 5
    assert mean.low < mean.value < mean.high


def test_is_reproducible() -> None:
    counts = {"woman": 30, "man": 10}
    assert bootstrap(counts) == bootstrap(counts)
    assert bootstrap(counts, seed=1) != bootstrap(counts, seed=2)


def test_fair_coin_by_hand() -> None:
    # Two pictures of two concepts: half the time both are the same (1), half the time one each (0).
    assert fair_coin([2], 2).value == pytest.approx(0.5, abs=0.02)
    assert fair_coin([1], 3).value == 1
    # E|binomial(30, 1/2) - 15| / 15 = .1445
    coin = fair_coin([30] * 12, 2)
    assert coin.value == pytest.approx(0.1445, abs=0.002)
    assert coin.low < coin.value < coin.high


@pytest.mark.parametrize("counts", [{}, {"woman": 3}, {"woman": 0, "man": 0}, {"woman": -1, "man": 3}])
def test_refuses_what_has_no_ratio(counts: dict[str, int]) -> None:
    with pytest.raises(RespoError, match="expected"):
        deviation_ratio(counts)


def test_refuses_no_groups() -> None:
    with pytest.raises(RespoError, match="at least one profession"):
        mean_deviation_ratio({})
    with pytest.raises(RespoError, match="expected at least 2 concepts"):
        fair_coin([3], 1)


def test_pictures_that_always_obey_have_an_interval_without_width() -> None:
    obedient = {"woman": {"woman": 15, "man": 0}, "man": {"woman": 0, "man": 15}}
    assert bootstrap_assigned({"doctor": obedient}) == Interval(0.0, 0.0, 0.0)


def test_without_assignment_it_is_the_plain_bootstrap() -> None:
    counts = {"doctor": {"woman": 3, "man": 27}, "nurse": {"woman": 20, "man": 10}}
    assert bootstrap_assigned({name: {"": c} for name, c in counts.items()}) == bootstrap_mean(counts)
