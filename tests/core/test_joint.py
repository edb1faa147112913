from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from respo_train.core.counting.balance import assign, parse_shares
from respo_train.core.counting.joint import Combination, assign_jointly
from respo_train.core.errors import RespoError

GENDER, TONE, AGE = "woman 1, man 1", "light 1, medium 1, dark 1", "young 1, old 1"
seeds = st.integers(-(2**65), 2**65) | st.sampled_from([0, 2**64 - 1])
weights = st.lists(st.integers(0, 4), min_size=1, max_size=3).filter(any)


def read(*texts: str) -> list[dict[str, Fraction]]:
    return [parse_shares(text) for text in texts]


def bounds_of(shares: dict[str, Fraction]) -> dict[str, Fraction]:
    """The bound that `assign` proves."""
    return {name: 2 - Fraction(2, share.denominator) for name, share in shares.items()}


def share_of(cell: Combination, attributes: Sequence[dict[str, Fraction]]) -> Fraction:
    return math.prod((shares[name] for shares, name in zip(attributes, cell, strict=True)), start=Fraction(1))


@pytest.mark.parametrize("text", [GENDER, TONE, "a 51, b 49", "a 1, b 0"])
def test_one_attribute_is_what_balance_says(text: str) -> None:
    shares = parse_shares(text)
    assert assign_jointly(-50, range(200), [shares]) == [(name,) for name in assign(-50, 200, shares)]


def test_never_changes() -> None:
    """Labels of published pictures depend on this sequence."""
    cells = assign_jointly(0, range(12), read(GENDER, TONE))
    assert " ".join(gender[0] + tone[0] for gender, tone in cells) == "wd ml mm wm wl md md wl wm mm ml wd"


@settings(deadline=None, max_examples=30)
@given(seeds, st.lists(weights, min_size=1, max_size=3))
def test_every_block_holds_the_product_of_the_shares(seed: int, each: list[list[int]]) -> None:
    attributes = [{f"{n} {i}": Fraction(w, sum(ws)) for i, w in enumerate(ws)} for n, ws in enumerate(each)]
    cells = list(itertools.product(*attributes))
    length = math.lcm(*(share_of(cell, attributes).denominator for cell in cells))
    found = Counter(assign_jointly(seed // length * length, range(length), attributes))
    assert all(found[cell] == length * share_of(cell, attributes) for cell in cells)


@settings(deadline=None, max_examples=60)
@given(seeds, st.lists(st.integers(0, 70), min_size=1, max_size=20))
def test_is_a_function_of_seed_plus_index(seed: int, images: list[int]) -> None:
    attributes = read(GENDER, TONE)
    backwards = [dict(reversed(shares.items())) for shares in attributes]
    assert assign_jointly(seed, images, attributes) == [assign_jointly(seed + i, [0], backwards)[0] for i in images]


@pytest.mark.parametrize("later", [[TONE], [AGE, TONE], ["light 3, dark 2"]])
def test_first_attribute_goes_as_alone(later: list[str]) -> None:
    cells = assign_jointly(5, range(300), read(GENDER, *later))
    assert [cell[0] for cell in cells] == assign(5, 300, parse_shares(GENDER))


def worst(run: list[Combination], counts: Callable[[Combination], bool], share: Fraction) -> Fraction:
    """The largest error of any window of a run."""
    errors = [0, *itertools.accumulate(counts(cell) - share for cell in run)]
    return max(errors) - min(errors)


@pytest.mark.parametrize(
    ("texts", "third"),
    [
        ([GENDER, TONE], None),
        ([TONE, GENDER], None),
        ([GENDER, AGE], None),
        (["woman 3, man 1", "light 3, dark 1"], None),
        (["woman 1, man 2", "a 7, b 2, c 1"], None),
        (["a 1, b 1, c 1", TONE], None),
        (["a 1, b 1, c 1, d 1", "e 1, f 1, g 1, h 1, i 1"], None),
        (["woman 51, man 49", "a 7, b 2, c 1"], None),
        ([GENDER, TONE, AGE], 1),
        ([GENDER, "light 3, medium 1, dark 2", "young 1, old 2"], 2),
    ],
)
def test_each_attribute_stays_balanced_by_itself(texts: list[str], third: int | None) -> None:
    """As tightly as alone; a third one within 2."""
    attributes = read(*texts)
    run = assign_jointly(-1000, range(3000), attributes)
    for place, shares in enumerate(attributes):
        bounds = bounds_of(shares) if place < 2 else dict.fromkeys(shares, third)
        for name, share in shares.items():
            assert worst(run, lambda cell: cell[place] == name, share) <= bounds[name]  # noqa: B023 - called at once


def test_eight_pictures_of_six_combinations() -> None:
    """A batch of 8 that starts with a block shows all six; any other at least four, and each attribute is balanced."""
    for start in range(600):
        cells = Counter(assign_jointly(start, range(8), read(GENDER, TONE)))
        tones = Counter(tone for _, tone in cells.elements())
        assert max(cells.values()) <= (3 if start % 6 else 2)
        assert len(cells) >= (4 if start % 6 else 6)
        assert set(tones.values()) <= {2, 3, 4}
        assert sum(count for (gender, _), count in cells.items() if gender == "woman") in {3, 4, 5}


def test_refuses_blocks_beyond_reason() -> None:
    fine = "a 51, b 49"
    with pytest.raises(RespoError, match="within 10000 images"):
        assign_jointly(0, [0], read(fine, "c 51, d 49", "e 1, f 2"))
    many = [{f"{a} {i}": Fraction(1, 1000) for i in range(1000)} for a in "abc"]
    with pytest.raises(RespoError, match="combinations"):
        assign_jointly(0, [0], many)


@pytest.mark.parametrize(
    ("texts", "most"), [([GENDER, TONE], Fraction(5, 3)), ([GENDER, "a 51, b 49"], 2), ([GENDER, TONE, AGE], 2)]
)
def test_combinations_are_balanced_before_a_block_ends(texts: list[str], most: Fraction) -> None:
    attributes = read(*texts)
    run = assign_jointly(-1000, range(3000), attributes)
    for cell in set(run):
        assert worst(run, lambda found: found == cell, share_of(cell, attributes)) <= most  # noqa: B023 - called at once
