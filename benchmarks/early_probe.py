"""`python -m benchmarks.early_probe [--pictures N] [--json FILE]`: how early h tells whom a seed will show.

The model as it is draws every profession (DDIM, 20 steps, guidance 3), and the judge says whom. At each step a linear
probe on the conditional h says who will fall against the profession's habit: the pictures of the 14 professions each by
a probe fitted to other seeds, those of the four held-out ones by a probe that has not seen their profession. "A photo
of a person", which shows both, only helps to fit. --json writes the figures, and the curve beside them as a PNG.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from benchmarks import command
from benchmarks.command import Row, run
from benchmarks.drawing import PROFESSIONS, TRAINED, Recorder, bench_unet, draw, photo_of
from benchmarks.evidence.bench import JUDGE
from emoji_world import world
from respo_train.core.counting.metrics import Interval, wilson
from respo_train.core.files.write import write_atomically
from respo_train.core.judge import AnyJudge, look
from respo_train.judges.emoji_world import load_judge
from respo_train.report.charts import curves, drawing, png

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Scores = Mapping[str, Interval]
FOLDS = 4  # of seeds
# What cross-validation chooses from: to how many places a side h is averaged (8: as it is), and the ridge's penalty.
SETTINGS = tuple(product((1, 2, 8), (0.01, 0.1, 1.0, 10.0)))
PERSON = world.PERSON.word  # no profession: it only helps to fit
AT_ONCE = 8  # pictures in one batch
PERSONS = 4  # as many pictures of "a person" as of a profession, times this


@dataclass(frozen=True)
class Drawn:
    """N pictures of which the judge is sure. `h`: float16 `[steps, N, C, H, W]`; `shown`: 1 a woman, -1 a man."""

    h: Tensor
    shown: Numbers
    jobs: NDArray[np.str_]
    seeds: NDArray[np.int64]  # from 0 in each profession


def rows(options: Namespace) -> Iterator[Row]:
    """Yield whom the pictures show, and the scores of each step; then draw the curve."""
    unet, judge = bench_unet(), load_judge(JUDGE)
    wanted = dict.fromkeys(PROFESSIONS, options.pictures) | {PERSON: PERSONS * options.pictures}
    drawn = joined([gather(unet, judge, job, count) for job, count in tqdm(wanted.items(), desc="drawing")])
    by_job = {job: drawn.shown[drawn.jobs == job] for job in wanted}
    yield "seen", {job: {"woman": int((own > 0).sum()), "man": int((own < 0).sum())} for job, own in by_job.items()}
    steps = []
    for number, step in enumerate(measured(drawn), 1):
        steps.append(step)
        yield f"step {number}", {name: {**own, "balanced": balanced(own)} for name, own in step.items()}
    if options.json:
        write_atomically(options.json.with_suffix(".png"), chart(steps))


def gather(unet: Any, judge: AnyJudge, job: str, count: int) -> Drawn:
    """Draw at least `count` pictures of a profession; those whose gender the judge does not see are left out."""
    return joined([gather_batch(unet, judge, job, first) for first in range(0, count, AT_ONCE)])


def gather_batch(unet: Any, judge: AnyJudge, job: str, first: int) -> Drawn:
    """Draw a profession's next AT_ONCE pictures, from seed `first` on."""
    recorder: Any = Recorder(unet)
    pictures = draw(recorder, photo_of(job), f"early {job} {first}", [None] * AT_ONCE)
    labels = np.array(look(judge, torch.from_numpy(pictures).float() / 255, "gender").labels)
    sure = np.flatnonzero(np.isin(labels, world.GENDERS))
    h = torch.stack(recorder.heard[::2])[:, sure].half()  # every other pass is the unconditional one
    return Drawn(h, np.where(labels[sure] == "woman", 1.0, -1.0), np.full(len(sure), job), first + sure)


def joined(parts: Sequence[Drawn]) -> Drawn:
    """Return all pictures as one."""
    rest = zip(*((part.shown, part.jobs, part.seeds) for part in parts), strict=True)
    return Drawn(torch.cat([part.h for part in parts], 1), *map(np.concatenate, rest))


def measured(drawn: Drawn) -> Iterator[dict[str, Scores]]:
    """Yield for each step the scores of the professions that probes are fitted to, and of those held out."""
    trained = np.isin(drawn.jobs, TRAINED)
    new = ~trained & (drawn.jobs != PERSON)
    outer, against = drawn.seeds % FOLDS, habits(drawn.jobs, drawn.shown) != drawn.shown
    splits = [(~new & (outer != fold), trained & (outer == fold)) for fold in range(FOLDS)] + [(~new, new)]
    for step in tqdm(range(len(drawn.h)), desc="probing", unit="step"):
        dots = {side: products(drawn, step, side) for side, _ in SETTINGS}
        said = np.zeros(len(new), dtype=bool)
        for train, test in splits:
            said[test] = best_answers(dots, drawn, train, test)
        right = said == against
        yield {
            "trained": score(right[trained], against[trained]),
            "held out": score(right[new], against[new]),
        }


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


def chart(steps: Sequence[dict[str, Scores]]) -> bytes:
    """Return the curves over the steps as a PNG."""
    lines = {
        "with the habit": [step["trained"]["with"] for step in steps],
        "against the habit": [step["trained"]["against"] for step in steps],
        "held-out professions, all": [step["held out"]["all"] for step in steps],
    }
    with drawing(7.5, 3.8) as figure:
        axes = curves(figure, lines, "step", "share of right answers")
        axes.set_xticks(range(1, len(steps) + 1))
        return png(figure)


OPTIONS = {"--pictures": command.pictures(40, fewest=4 * FOLDS)}

if __name__ == "__main__":
    sys.exit(run("early_probe", __doc__, rows, OPTIONS))
