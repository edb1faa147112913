"""`python -m benchmarks.early_probe [--pictures N] [--json FILE]`: how early h tells whom a seed will show.

The model as it is draws every profession (DDIM, 20 steps, guidance 3), and the judge says whom. At each step a linear
probe on the conditional h says who will fall against the profession's habit: the pictures of the 14 professions each by
a probe fitted to other seeds, those of the four held-out ones by a probe that has not seen their profession. "A photo
of a person", which shows both, only helps to fit. --json writes the figures, and the curve beside them as a PNG.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks import command
from benchmarks import linear_probe as probe
from benchmarks.command import Row, run
from benchmarks.drawing import PROFESSIONS, TRAINED, Recorder, bench_unet, draw, photo_of
from benchmarks.evidence.bench import JUDGE
from emoji_world import world
from respo_train.core.files.write import write_atomically
from respo_train.core.judge import AnyJudge, look
from respo_train.judges.emoji_world import load_judge
from respo_train.report.charts import curves, drawing, png

AT_ONCE = 8  # pictures in one batch
PERSONS = 4  # as many pictures of "a person" as of a profession, times this


def rows(options: Namespace) -> Iterator[Row]:
    """Yield whom the pictures show, and the scores of each step; then draw the curve."""
    unet, judge = bench_unet(), load_judge(JUDGE)
    wanted = dict.fromkeys(PROFESSIONS, options.pictures) | {probe.PERSON: PERSONS * options.pictures}
    drawn = joined([gather(unet, judge, job, count) for job, count in tqdm(wanted.items(), desc="drawing")])
    by_job = {job: drawn.shown[drawn.jobs == job] for job in wanted}
    yield "seen", {job: {"woman": int((own > 0).sum()), "man": int((own < 0).sum())} for job, own in by_job.items()}
    steps = []
    for number, step in enumerate(measured(drawn), 1):
        steps.append(step)
        yield f"step {number}", {name: {**own, "balanced": probe.balanced(own)} for name, own in step.items()}
    if options.json:
        write_atomically(options.json.with_suffix(".png"), chart(steps))


def gather(unet: Any, judge: AnyJudge, job: str, count: int) -> probe.Drawn:
    """Draw at least `count` pictures of a profession; those whose gender the judge does not see are left out."""
    return joined([gather_batch(unet, judge, job, first) for first in range(0, count, AT_ONCE)])


def gather_batch(unet: Any, judge: AnyJudge, job: str, first: int) -> probe.Drawn:
    """Draw a profession's next AT_ONCE pictures, from seed `first` on."""
    recorder: Any = Recorder(unet)
    pictures = draw(recorder, photo_of(job), f"early {job} {first}", [None] * AT_ONCE)
    labels = np.array(look(judge, torch.from_numpy(pictures).float() / 255, "gender").labels)
    sure = np.flatnonzero(np.isin(labels, world.GENDERS))
    h = torch.stack(recorder.heard[::2])[:, sure].half()  # every other pass is the unconditional one
    return probe.Drawn(h, np.where(labels[sure] == "woman", 1.0, -1.0), np.full(len(sure), job), first + sure)


def joined(parts: Sequence[probe.Drawn]) -> probe.Drawn:
    """Return all pictures as one."""
    rest = zip(*((part.shown, part.jobs, part.seeds) for part in parts), strict=True)
    return probe.Drawn(torch.cat([part.h for part in parts], 1), *map(np.concatenate, rest))


def measured(drawn: probe.Drawn) -> Iterator[dict[str, probe.Scores]]:
    """Yield for each step the scores of the professions that probes are fitted to, and of those held out."""
    trained = np.isin(drawn.jobs, TRAINED)
    new = ~trained & (drawn.jobs != probe.PERSON)
    outer, against = drawn.seeds % probe.FOLDS, probe.habits(drawn.jobs, drawn.shown) != drawn.shown
    splits = [(~new & (outer != fold), trained & (outer == fold)) for fold in range(probe.FOLDS)] + [(~new, new)]
    for step in tqdm(range(len(drawn.h)), desc="probing", unit="step"):
        dots = {side: probe.products(drawn, step, side) for side, _ in probe.SETTINGS}
        said = np.zeros(len(new), dtype=bool)
        for train, test in splits:
            said[test] = probe.best_answers(dots, drawn, train, test)
        right = said == against
        yield {
            "trained": probe.score(right[trained], against[trained]),
            "held out": probe.score(right[new], against[new]),
        }


def chart(steps: Sequence[dict[str, probe.Scores]]) -> bytes:
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


OPTIONS = {"--pictures": command.pictures(40, fewest=4 * probe.FOLDS)}

if __name__ == "__main__":
    sys.exit(run("early_probe", __doc__, rows, OPTIONS))
