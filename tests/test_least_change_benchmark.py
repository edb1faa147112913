"""The benchmark of least change: whose pictures it takes."""

from __future__ import annotations

import numpy as np

from benchmarks.least_change import chosen, most_kept
from respo_train.evaluation.background import identical
from respo_train.evaluation.drawn import Drawn


def run(value: int) -> list[Drawn]:
    return [Drawn("doctor", "a photo of a doctor", np.full((4, 2, 2, 3), value, dtype=np.uint8), ("",) * 4)]


def test_only_pictures_that_show_something_else_are_steered() -> None:
    drawn = {"": run(0), "woman": run(1), "man": run(2)}
    seen = [["man", "man", "man", "unsure"]]
    (after,) = chosen(drawn, [["man", "woman", "man", "woman"]], seen)
    assert after.images[:, 0, 0, 0].tolist() == [0, 1, 0, 1]
    assert after.asked == ("man", "woman", "man", "woman")
    assert identical(drawn[""], [after]).value == 0.5
    (all_steered,) = chosen(drawn, [["man", "woman", "man", "woman"]], [[""] * 4])
    assert all_steered.images[:, 0, 0, 0].tolist() == [2, 1, 2, 1]


def test_the_most_that_can_stay_is_what_the_shares_allow() -> None:
    assert most_kept([["man"] * 4]) == 0.5
    assert most_kept([["man", "man", "woman", "woman"], ["man", "man", "man", "unsure"]]) == (4 + 2) / 8
