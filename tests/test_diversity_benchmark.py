"""Diversity within a group: one where nothing changes, less where a method draws the same picture again and again."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.diversity import FEWEST, distances, diversity


def rows(count: int, spread: float = 1.0, seed: int = 0) -> np.ndarray:
    return spread * np.random.default_rng(seed).normal(size=(count, 8))


def places(count: int, first: int = 0) -> dict[tuple[str, str], list[int]]:
    return {("doctor", "woman"): list(range(first, first + count))}


def test_the_same_pictures_are_as_different() -> None:
    own = rows(20)
    found = diversity(own, places(20), own, places(20))
    assert (found.value, found.n) == (1.0, 20)
    assert found.low <= 1 <= found.high


@pytest.mark.parametrize("count", [5, 40])
def test_half_the_spread_is_half_the_diversity_however_many_pictures(count: int) -> None:
    narrow, own = rows(20 * count, 0.5), rows(1000, seed=1)
    found = diversity(narrow, twenty_of(count), own, twenty_of(50))
    assert found.value == pytest.approx(0.5, rel=0.08)
    assert found.low < found.value < found.high


def twenty_of(count: int) -> dict[tuple[str, str], list[int]]:
    return {(str(n), "woman"): list(range(n * count, (n + 1) * count)) for n in range(20)}


def test_one_picture_again_and_again_has_none() -> None:
    same = np.repeat(rows(1), 12, 0)
    assert diversity(same, places(12), rows(12), places(12)).value == 0


def test_groups_of_few_are_left_out() -> None:
    own = rows(40)
    few = {**places(10), ("doctor", "man"): list(range(10, 10 + FEWEST - 1))}
    found = diversity(own, few, own, places(40))
    assert (found.n, found.note) == (10, "1 groups of fewer than 5 pictures left out")
    assert np.isnan(diversity(own, places(4), own, places(40)).value)


def test_pictures_that_are_all_person_are_left_out() -> None:
    own = rows(12)
    holes = own.copy()
    holes[3] = np.nan
    assert diversity(holes, places(12), own, places(12)).value == pytest.approx(1, abs=0.1)


def test_distance_of_every_two() -> None:
    assert distances(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0, 5], [5, 0]]
