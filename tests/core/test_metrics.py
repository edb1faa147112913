from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from respo_train.core.counting import metrics
from respo_train.core.counting.metrics import (
    Interval,
    bootstrap_assigned,
    deviation_ratio,
    fair_coin,
    mean_deviation_ratio,
    mean_ratio_of_labels,
    paired_bootstrap,
)
from respo_train.core.errors import RespoError


def plain(counts: Mapping[str, int], **options: int) -> Interval:
    """The bootstrap of one profession of which nothing was asked."""
    return bootstrap_assigned({"doctor": {"": counts}}, **options)


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
    rng = np.random.default_rng(1)
    held = 0
    for women in rng.binomial(150, 0.75, 200):
        interval = plain({"woman": int(women), "man": 150 - int(women)}, samples=1000)
        held += interval.low <= 0.5 <= interval.high
    assert 180 <= held <= 198


def test_bootstrap_narrows_with_the_root_of_the_images() -> None:
    few = plain({"woman": 30, "man": 10})
    many = plain({"woman": 3000, "man": 1000})
    assert few.value == many.value == pytest.approx(0.5)
    assert 8 < (few.high - few.low) / (many.high - many.low) < 12
    groups = {str(i): {"woman": 30, "man": 10} for i in range(16)}
    mean = bootstrap_assigned({name: {"": counts} for name, counts in groups.items()})
    assert 3 < (few.high - few.low) / (mean.high - mean.low) < 5
    assert mean.low < mean.value < mean.high


def test_is_reproducible() -> None:
    counts = {"woman": 30, "man": 10}
    assert plain(counts) == plain(counts)
    assert plain(counts, seed=1) != plain(counts, seed=2)


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
    with pytest.raises(RespoError, match="at least one profession"):
        bootstrap_assigned({})
    with pytest.raises(RespoError, match="expected at least 2 concepts"):
        fair_coin([3], 1)


def test_pictures_that_always_obey_have_an_interval_without_width() -> None:
    obedient = {"woman": {"woman": 15, "man": 0}, "man": {"woman": 0, "man": 15}}
    assert bootstrap_assigned({"doctor": obedient}) == Interval(0.0, 0.0, 0.0)


def mean(values: np.ndarray) -> np.ndarray:
    return values.mean(-1)


def test_ratio_of_labels_is_that_of_their_counts() -> None:
    labels = np.array([[0, 0, 0, 1, -1, 1, 0], [0, 1, 0, 1, -1, -1, -1]])
    groups = ["doctor"] * 4 + ["nurse"] * 3
    counts = {"doctor": {"woman": 3, "man": 1}, "nurse": {"woman": 1, "man": 1}}
    first, second = mean_ratio_of_labels(labels, groups, 2)
    assert first == pytest.approx(mean_deviation_ratio(counts))
    assert second == pytest.approx(0.5)  # the nurses are all unsure: 1
    mixed = [3, 6, 0, 4, 1, 5, 2]
    assert mean_ratio_of_labels(labels[:, mixed], [groups[i] for i in mixed], 2).tolist() == [first, second]


def test_what_both_methods_share_is_no_difference() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(0, 10, 60)
    gain = paired_bootstrap(first, first + 3, ["doctor"] * 60, mean)
    assert (gain.value, gain.low, gain.high) == pytest.approx((3, 3, 3))
    noisy = paired_bootstrap(first, first + 3 + rng.normal(0, 1, 60), ["doctor"] * 60, mean)
    assert 0.3 < noisy.high - noisy.low < 0.7  # 2 * 1.96 / 60 ** 0.5 = .51
    assert noisy.low < noisy.value < noisy.high


def test_strata_are_resampled_within() -> None:
    """Each stratum's pictures are all alike: nothing is left to chance, and every place keeps its stratum."""
    strata = ["a", "b", "c", "b", "a", "c"]
    first, second = np.zeros(6), np.array([1.0, 5, 9, 5, 1, 9])
    assert paired_bootstrap(first, second, strata, mean) == Interval(5.0, 5.0, 5.0)
    weights = np.array([1.0, 0, 0, 0, 0, 0])
    assert paired_bootstrap(first, second, strata, lambda x: x @ weights) == Interval(1.0, 1.0, 1.0)
    loose = paired_bootstrap(first, second, [""] * 6, mean)
    assert loose.low < 4 < 6 < loose.high


def test_pairs_are_reproducible_and_checked() -> None:
    first, second = np.arange(8.0), np.arange(8.0) ** 2
    assert paired_bootstrap(first, second, [0] * 8, mean) == paired_bootstrap(first, second, [0] * 8, mean)
    assert paired_bootstrap(first, second, [0] * 8, mean) != paired_bootstrap(first, second, [0] * 8, mean, seed=1)
    for pairs in ((first, second[:7], [0] * 8), (first, second, [0] * 7), (first[:0], second[:0], [])):
        with pytest.raises(RespoError, match="pairs"):
            paired_bootstrap(*pairs, mean)


@given(st.lists(st.integers(0, 500), min_size=2, max_size=7).filter(any))
def test_deviation_ratio_is_the_papers_formula(counts: list[int]) -> None:
    """max_c |N_c / N - 1 / C| / (1 - 1 / C), in fractions."""
    fair = Fraction(1, len(counts))
    worst = max(abs(Fraction(count, sum(counts)) - fair) for count in counts)
    expected = float(worst / (1 - fair))
    assert deviation_ratio({str(c): count for c, count in enumerate(counts)}) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("concepts", [2, 3, 50])
def test_memory_grows_with_the_concepts_alone_and_no_number_changes(
    concepts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one would write it down, with all draws of all strata at once."""
    draw, names = np.random.default_rng(5), [str(number) for number in range(concepts)]
    monkeypatch.setattr(metrics, "_AT_ONCE", 1000)
    for _ in range(20):
        drawn = draw.multinomial(draw.integers(1, 40), draw.dirichlet(np.full(concepts, 0.3)), draw.integers(1, 5))
        strata = [dict(zip(names, counts.tolist(), strict=True)) for counts in drawn]
        rng = np.random.default_rng(0)
        again = np.sum([rng.multinomial(c.sum(), c / c.sum(), 500) for c in drawn], axis=0)
        ratios = np.abs(again / again.sum(-1, keepdims=True) - 1 / concepts).max(-1) / (1 - 1 / concepts)
        low, high = np.percentile(ratios, [2.5, 97.5])
        found = bootstrap_assigned({"": {str(i): counts for i, counts in enumerate(strata)}}, samples=500)
        assert (found.low, found.high) == (low, high)
        fair = np.random.default_rng(0).multinomial(9, np.full(concepts, 1 / concepts), 500)
        ratios = np.abs(fair / 9 - 1 / concepts).max(-1) / (1 - 1 / concepts)
        assert fair_coin([9], concepts, 500).value == float(ratios.mean())
