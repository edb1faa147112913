"""As few pictures as possible change, whatever they show."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from respo_train.core.counting.least_change import least_change

HALVES = {"woman": Fraction(1, 2), "man": Fraction(1, 2)}
SHARES = st.sampled_from(
    [
        HALVES,
        {"woman": Fraction(3, 4), "man": Fraction(1, 4)},
        {"light": Fraction(1, 3), "medium": Fraction(1, 3), "dark": Fraction(1, 3)},
        {"light": Fraction(1, 2), "medium": Fraction(3, 10), "dark": Fraction(1, 5)},
        {"woman": Fraction(1), "man": Fraction(0)},
    ]
)


def most_kept(seen, shares):
    """Try all numbers of pictures per concept that are a share rounded up or down; return the best."""
    exact = {name: len(seen) * share for name, share in shares.items()}
    choices = [sorted({int(value), -int(-value // 1)}) for value in exact.values()]
    have = Counter(seen)
    return max(
        sum(min(have[name], number) for name, number in zip(exact, numbers, strict=True))
        for numbers in itertools.product(*choices)
        if sum(numbers) == len(seen)
    )


@given(SHARES, st.data(), st.integers(0, 2**64 - 1))
def test_the_most_pictures_stay(shares, data, seed):
    seen = data.draw(st.lists(st.sampled_from([*shares, "unsure", "nobody"]), max_size=12))
    labels = least_change(seen, shares, seed)
    assert sum(a == b for a, b in zip(seen, labels, strict=True)) == most_kept(seen, shares)
    for name, share in shares.items():
        assert abs(labels.count(name) - len(seen) * share) < 1
    assert labels == least_change(seen, shares, seed)


def test_who_changes_depends_on_the_seed():
    seen = ["man"] * 8
    found = {tuple(least_change(seen, HALVES, seed)) for seed in range(20)}
    assert len(found) > 10
    assert all(labels.count("woman") == 4 for labels in found)


def test_an_odd_picture_out_stays_what_it_is():
    assert least_change(["man"] * 3 + ["woman"] * 2, HALVES, 0) == ["man"] * 3 + ["woman"] * 2
    assert least_change(["man"] * 2 + ["woman"] * 3, HALVES, 0) == ["man"] * 2 + ["woman"] * 3


def test_the_larger_share_gets_the_picture_left_over():
    shares = {"light": Fraction(1, 2), "dark": Fraction(3, 10), "medium": Fraction(1, 5)}
    for seed in range(10):
        assert Counter(least_change(["unsure"] * 3, shares, seed)) == {"light": 2, "dark": 1}
