from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from respo_train.core.counting.balance import _WEIGHT, MAX_BLOCK, MAX_CONCEPTS, assign, parse_shares
from respo_train.core.errors import RespoError

seeds = st.integers(-(2**65), 2**65) | st.integers(-50, 50) | st.sampled_from([0, 2**63, 2**64 - 1])
weights = st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(any)


def test_a_long_name_is_refused() -> None:
    """It is written once for each picture: 100 kB became 400 MB of labels."""
    assert len(parse_shares("a" * 200 + " 1, b 1")) == 2
    with pytest.raises(RespoError, match="names of at most 200 characters"):
        parse_shares("a" * 201 + " 1, b 1")


def test_the_page_reads_weights_by_the_same_rule() -> None:
    """Without its limits a page would stand still for minutes at a workflow with 100 kB of digits."""
    script = (Path(__file__).resolve().parents[2] / "web/js/balance_bar.js").read_text(encoding="utf-8")
    assert f"/^(.*\\S)\\s+({_WEIGHT.pattern})$/" in script
    assert f"MAX_CONCEPTS = {MAX_CONCEPTS};" in script


def bounds_of(shares: dict[str, Fraction]) -> dict[str, Fraction]:
    """The bound that `assign` proves."""
    return {name: 2 - Fraction(2, share.denominator) for name, share in shares.items()}


def shares_of(weights: list[int]) -> dict[str, Fraction]:
    return {f"concept {i}": Fraction(w, sum(weights)) for i, w in enumerate(weights)}


@settings(deadline=None, max_examples=300)
@given(seeds, st.integers(0, 150), weights)
def test_no_window_exceeds_the_bound(seed: int, count: int, weights: list[int]) -> None:
    shares = shares_of(weights)
    found = Counter(assign(seed, count, shares))
    assert found.total() == count
    for name, bound in bounds_of(shares).items():
        assert abs(found[name] - count * shares[name]) <= bound


@pytest.mark.parametrize("weights", [[1, 1], [1, 1, 1], [3, 1], [2, 3], [1, 2, 3], [51, 49], [1, 2, 4, 6]])
def test_bound_is_reached(weights: list[int]) -> None:
    """Over all windows of a long run: the bound holds for each and is not a wider one than needed."""
    shares = shares_of(weights)
    run = assign(-1000, 6000, shares)
    for name, bound in bounds_of(shares).items():
        prefixes = list(itertools.accumulate((c == name for c in run), initial=0))
        errors = [count - n * shares[name] for n, count in enumerate(prefixes)]
        worst = max(errors) - min(errors)
        assert worst <= bound
        assert worst >= bound - Fraction(1, 5)


@settings(deadline=None)
@given(seeds, st.integers(1, 60), st.integers(0, 60), weights)
def test_is_a_function_of_seed_plus_index(seed: int, count: int, shift: int, weights: list[int]) -> None:
    shares = shares_of(weights)
    backwards = dict(reversed(shares.items()))
    assert assign(seed, count + shift, shares)[shift:] == assign(seed + shift, count, backwards)


def test_never_changes() -> None:
    """Labels of published pictures depend on this sequence."""
    assert "".join(c[0] for c in assign(0, 20, parse_shares("woman 1, man 1"))) == "wmmwwmmwwmmwmwwmmwwm"
    assert "".join(assign(2**64 - 10, 20, parse_shares("a 1, b 2, c 3"))) == "acbccbcbaccbbccacbcb"


def test_every_block_holds_the_exact_shares() -> None:
    shares = parse_shares("a 1, b 2, c 3")
    for number in range(-20, 20):
        assert Counter(assign(6 * number, 6, shares)) == {"a": 1, "b": 2, "c": 3}


def test_orders_are_equally_likely_for_equal_shares() -> None:
    shares = shares_of([1, 1, 1])
    orders = Counter(tuple(assign(3 * block, 3, shares)) for block in range(6000))
    assert len(orders) == 6
    assert all(850 < count < 1150 for count in orders.values())


def test_attributes_are_not_in_step() -> None:
    gender = assign(0, 2000, parse_shares("woman 1, man 1"))
    age = assign(0, 2000, parse_shares("young 1, old 1"))
    pairs = Counter(zip(gender, age, strict=True))
    assert all(420 < count < 580 for count in pairs.values())


def test_reads_shares() -> None:
    half = Fraction(1, 2)
    assert parse_shares("woman 1, man 1") == {"woman": half, "man": half}
    assert list(parse_shares("woman 1\nman 1;old man 2.50")) == ["woman", "man", "old man"]
    assert parse_shares("a .25, b 0.75,") == {"a": Fraction(1, 4), "b": Fraction(3, 4)}
    assert parse_shares("a 1, b 0") == {"a": 1, "b": 0}
    assert assign(5, 3, parse_shares("a 1, b 0")) == ["a"] * 3
    assert assign(5, 0, parse_shares("a 1")) == []


@pytest.mark.parametrize("text", ["", "woman", "woman -1", "woman nan", "woman 1e3", "a 0", "a 1, a 2", "1", "a 1 b"])
def test_refuses_other_texts(text: str) -> None:
    with pytest.raises(RespoError, match="expected"):
        parse_shares(text)


def test_refuses_blocks_beyond_reason() -> None:
    with pytest.raises(RespoError, match=f"within {MAX_BLOCK} images"):
        parse_shares("a 0.333333, b 0.666668")
    with pytest.raises(RespoError, match="sum to 1"):
        assign(0, 1, {"a": Fraction(1, 3)})


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(RespoError):
        assert sum(parse_shares(text).values()) == 1


@pytest.mark.parametrize("labels", ["woman\nman\nwoman", "woman, dark\nman, light\n"])
def test_labels_are_no_shares(labels: str) -> None:
    with pytest.raises(RespoError, match=r"'distribution' was given \d lines.*'labels' of Save Labelled Images"):
        parse_shares(labels)


@pytest.mark.parametrize("text", ["woman", "woman, man", "woman 1\nman"])
def test_shares_that_lack_a_weight_are_no_labels(text: str) -> None:
    with pytest.raises(RespoError, match="expected 'name weight'") as caught:
        parse_shares(text)
    assert "labels" not in str(caught.value)
