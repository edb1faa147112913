"""`python -m benchmarks.early_probe [--pictures N] [--json FILE]`: how early h tells whom a seed will show.

The model as it is draws every profession (DDIM, 20 steps, guidance 3), and the judge says whom. At each step a linear
probe on the conditional h says who will fall against the profession's habit: the pictures of the 14 professions each by
a probe fitted to other seeds, those of the four held-out ones by a probe that has not seen their profession. "A photo
of a person", which shows both, only helps to fit. --json writes the figures, and the curve beside them as a PNG.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.background import Recorder
from benchmarks.command import at_least, parser_of, write_figures
from benchmarks.drawing import PROFESSIONS, TRAINED, bench_unet, draw, photo_of
from benchmarks.evidence.bench import JUDGE
from benchmarks.linear_probe import (
    FOLDS,
    PERSON,
    SETTINGS,
    Drawn,
    balanced,
    best_answers,
    habits,
    products,
    score,
)
from emoji_world import world
from respo_train.core.counting.metrics import Interval
from respo_train.core.files.write import write_atomically
from respo_train.core.judge import AnyJudge, look
from respo_train.judges.emoji_world import load_judge
from respo_train.report.charts import curves, drawing, png

Scores = Mapping[str, Interval]
AT_ONCE = 8  # pictures in one batch
PERSONS = 4  # as many pictures of "a person" as of a profession, times this
TABLE = ("right", "with the habit", "against it", "balanced")  # as `score` and `balanced` have them


def main() -> int:
    """Draw, probe, print, write; returns the exit status."""
    parser = parser_of("early_probe", __doc__)
    parser.add_argument("--pictures", type=at_least(4 * FOLDS), default=40, help="pictures a profession (default 40)")
    options = parser.parse_args()
    unet, judge = bench_unet(), load_judge(JUDGE)
    wanted = dict.fromkeys(PROFESSIONS, options.pictures) | {PERSON: PERSONS * options.pictures}
    drawn = joined([gather(unet, judge, job, count) for job, count in tqdm(wanted.items(), desc="drawing")])
    steps = measure(drawn)
    print(table(steps))
    by_job = {job: drawn.shown[drawn.jobs == job] for job in [*PROFESSIONS, PERSON]}
    seen = {job: {"woman": int((own > 0).sum()), "man": int((own < 0).sum())} for job, own in by_job.items()}
    print(seen)
    groups = {name: [{part: vars(i) for part, i in step[name].items()} for step in steps] for name in steps[0]}
    write_figures(options.json, {"pictures": options.pictures, "seen": seen, "steps": groups})
    if options.json:
        write_atomically(options.json.with_suffix(".png"), chart(steps))
    return 0


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


def measure(drawn: Drawn) -> list[dict[str, Scores]]:
    """Return for each step the scores of the professions that probes are fitted to, and of those held out."""
    trained = np.isin(drawn.jobs, TRAINED)
    new = ~trained & (drawn.jobs != PERSON)
    outer, against = drawn.seeds % FOLDS, habits(drawn.jobs, drawn.shown) != drawn.shown
    steps: list[dict[str, Scores]] = []
    splits = [(~new & (outer != fold), trained & (outer == fold)) for fold in range(FOLDS)] + [(~new, new)]
    for step in tqdm(range(len(drawn.h)), desc="probing", unit="step"):
        dots = {side: products(drawn, step, side) for side, _ in SETTINGS}
        said = np.zeros(len(new), dtype=bool)
        for train, test in splits:
            said[test] = best_answers(dots, drawn, train, test)
        right = said == against
        steps.append({"trained": score(right[trained], against[trained]), "held out": score(right[new], against[new])})
    return steps


def table(steps: Sequence[Mapping[str, Scores]]) -> str:
    """Return a Markdown table, in per cent."""
    lines = [f"| step | {' | '.join(f'{group}: {title}' for group in steps[0] for title in TABLE)} |"]
    lines.append("|---" * (1 + len(steps[0]) * len(TABLE)) + "|")
    for number, step in enumerate(steps, 1):
        cells = [str(number)]
        for own in step.values():
            cells += [f"{100 * i.value:.1f} [{100 * i.low:.1f}, {100 * i.high:.1f}]" for i in own.values()]
            cells.append(f"{100 * balanced(own):.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def chart(steps: Sequence[Mapping[str, Scores]]) -> bytes:
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


if __name__ == "__main__":
    sys.exit(main())
