"""A linear probe on h: what a seed's picture will show, scored for those that fall against their profession's habit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from emoji_world import world
from respo_train.core.counting.metrics import Interval, wilson

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Scores = Mapping[str, Interval]
FOLDS = 4  # of seeds
# What cross-validation chooses from: to how many places a side h is averaged (8: as it is), and the ridge's penalty.
SETTINGS = tuple(product((1, 2, 8), (0.01, 0.1, 1.0, 10.0)))
PERSON = world.PERSON.word  # no profession: it only helps to fit


@dataclass(frozen=True)
class Drawn:
    """N pictures of which the judge is sure. `h`: float16 `[steps, N, C, H, W]`; `shown`: 1 a woman, -1 a man."""

    h: Tensor
    shown: Numbers
    jobs: NDArray[np.str_]
    seeds: NDArray[np.int64]  # from 0 in each profession


def habits(jobs: NDArray[np.str_], shown: Numbers) -> Numbers:
    """Return what most pictures of each picture's profession show."""
    sums = {job: shown[jobs == job].sum() for job in np.unique(jobs)}
    return np.array([1.0 if sums[job] >= 0 else -1.0 for job in jobs])


def products(drawn: Drawn, step: int, side: int) -> Numbers:
    """Return the dot products `[N, N]` of the pictures' h, averaged to `side` x `side` places.

    First each profession's mean is taken off and where women are the habit the sign is turned: so h cannot tell the
    profession, and "against the habit" has one direction. The diagonal is 1 on average; then 1 is added, as a constant
    feature would, for the probe's bias.
    """
    pooled = functional.adaptive_avg_pool2d(drawn.h[step].float(), side).flatten(1).double().numpy()
    for job in np.unique(drawn.jobs):
        pooled[drawn.jobs == job] -= pooled[drawn.jobs == job].mean(0)
    pooled *= -habits(drawn.jobs, drawn.shown)[:, None]
    dots: Numbers = pooled @ pooled.T
    return dots / dots.diagonal().mean() + 1


def answers(dots: Numbers, against: Flags, train: Flags, test: Flags, penalty: float) -> Flags:
    """Fit a ridge regression, in its dual form, to `train`; say which of `test` fall against the habit.

    Pictures with and against the habit weigh the same in sum, however few the latter are.
    """
    few = against[train].mean()
    weights = np.where(against[train], 0.5 / max(few, 1e-9), 0.5 / max(1 - few, 1e-9))
    ridge = dots[np.ix_(train, train)] + np.diag(penalty / weights)
    return dots[np.ix_(test, train)] @ np.linalg.solve(ridge, np.where(against[train], 1.0, -1.0)) > 0


def score(right: Flags, against: Flags) -> Scores:
    """Return the shares of right answers with Wilson's intervals: of all pictures, with and against the habit."""
    parts = {"all": right, "with": right[~against], "against": right[against]}
    return {name: wilson(int(own.sum()), len(own)) for name, own in parts.items()}


def balanced(scores: Scores) -> float:
    """Return the mean of the shares with and against the habit; saying each profession's habit has 0.5."""
    return (scores["with"].value + scores["against"].value) / 2


def best_answers(dots: Mapping[int, Numbers], drawn: Drawn, train: Flags, test: Flags) -> Flags:
    """Return the `answers` for `test` with the setting that is best balanced in a cross-validation within `train`."""
    against = habits(drawn.jobs, drawn.shown) != drawn.shown
    inner = drawn.seeds // FOLDS % FOLDS  # cuts across outer folds, which are the remainders

    def worth(setting: tuple[int, float]) -> float:
        said = np.zeros(len(train), dtype=bool)
        for fold in range(FOLDS):
            out = train & (inner == fold)
            said[out] = answers(dots[setting[0]], against, train & (inner != fold), out, setting[1])
        return balanced(score((said == against)[train], against[train]))

    side, penalty = max(SETTINGS, key=worth)
    return answers(dots[side], against, train, test, penalty)
