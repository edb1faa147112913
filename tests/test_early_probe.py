"""The benchmark of early steps: its probe finds what h holds, and answering with the habit does not pass for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.early_probe import (
    FOLDS,
    SETTINGS,
    Drawn,
    answers,
    balanced,
    best_answers,
    habits,
    products,
    score,
)

JOBS = np.repeat(["doctor", "nurse"], 64)


def drawn_with(signal: float) -> Drawn:
    """Two lopsided professions, 8 of 64 against each habit; `signal`: how clearly a corner of h shows the person."""
    rng = np.random.default_rng(0)
    shown = np.where(JOBS == "nurse", 1.0, -1.0)
    shown[rng.permutation(64)[:8]] = 1
    shown[64 + rng.permutation(64)[:8]] = -1
    h = torch.from_numpy(rng.standard_normal((1, 128, 4, 8, 8))).half()
    h[0, :, 0, :4, :4] += signal * torch.from_numpy(shown).half()[:, None, None]
    h[0, 64:, 1] += 3.0  # the prompt
    return Drawn(h, shown, JOBS, np.tile(np.arange(64), 2))


def scores_of(drawn: Drawn) -> dict:
    test = drawn.seeds % FOLDS == 0
    dots = {side: products(drawn, 0, side) for side, _ in SETTINGS}
    against = habits(JOBS, drawn.shown)[test] != drawn.shown[test]
    return score(best_answers(dots, drawn, ~test, test) == against, against)


def test_a_probe_finds_who_falls_against_the_habit():
    assert balanced(scores_of(drawn_with(signal=2.0))) == 1


def test_a_probe_on_an_h_that_knows_only_the_prompt_finds_nothing():
    assert balanced(scores_of(drawn_with(signal=0.0))) == pytest.approx(0.5, abs=0.2)


def test_the_answers_are_those_of_a_weighted_ridge_regression_with_its_bias():
    drawn, penalty = drawn_with(signal=0.3), 0.1
    train = drawn.seeds % FOLDS != 0
    habit = habits(JOBS, drawn.shown)
    against = habit != drawn.shown
    x = drawn.h[0].double().mean((2, 3)).numpy().reshape(2, 64, 4)
    x = -habit[:, None] * (x - x.mean(1, keepdims=True)).reshape(128, 4)
    x = np.concatenate([x / np.sqrt((x**2).sum(1).mean()), np.ones((128, 1))], 1)
    weights = 1 / np.where(against, against[train].mean(), 1 - against[train].mean())[train] / 2
    weighted = x[train].T * weights
    row = np.linalg.solve(weighted @ x[train] + penalty * np.eye(5), weighted @ np.where(against, 1, -1)[train])
    said = answers(products(drawn, 0, 1), against, train, ~train, penalty)
    assert said.tolist() == (x[~train] @ row > 0).tolist()


def test_the_habit_is_what_most_pictures_of_a_profession_show():
    jobs, shown = np.array(["doctor"] * 3 + ["nurse"] * 3), np.array([-1.0, -1, 1, 1, -1, 1])
    assert habits(jobs, shown).tolist() == [-1, -1, -1, 1, 1, 1]


def test_answering_with_the_habit_is_right_for_most_and_worth_nothing():
    against = np.array([False] * 9 + [True])
    scores = score(~against, against)
    assert (scores["all"].value, scores["against"].value, balanced(scores)) == (0.9, 0.0, 0.5)
    assert scores["against"].high > 0.7  # a single picture says little
