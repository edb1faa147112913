"""Time to the same deviation ratio on Emoji World: both loops are trained, and looked at as they go.

The goal was written down before anything was measured. The time is that of training alone, at the first checkpoint
whose modules meet the goal; nothing is interpolated. Both loops train both concepts side by side, one core each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.drawing import TRAINED, draw, photo_of
from respo_train.core.counting.metrics import mean_deviation_ratio
from respo_train.core.module.concept import ConceptModule
from respo_train.evaluation.drawn import to_tensor
from respo_train.host.load import load_unet
from respo_train.judges.emoji_world import Judge, load_judge
from respo_train.network import SplitNetwork
from respo_train.prompts import encode_prompts
from respo_train.trainer import TrainState, each_on_its_core, train

from .released import Released
from .steps import configuration

GOAL = 0.15
OUR_CHECKPOINTS = 20  # optimizer steps between two of ours
RELEASED_CHECKPOINTS = 50  # and between two of theirs

Modules = Mapping[str, ConceptModule]


class Done(Exception):
    """The goal is met, or the budget spent."""


@dataclass
class Course:
    """One loop's checkpoints: (optimizer steps, seconds of training, deviation ratio)."""

    checkpoints: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        """Whether the last checkpoint meets the goal; training stops at the first that does."""
        return bool(self.checkpoints) and self.checkpoints[-1][2] <= GOAL

    @property
    def seconds(self) -> float:
        """Training time at the last checkpoint."""
        return self.checkpoints[-1][1] if self.checkpoints else 0.0


@dataclass(frozen=True)
class Exam:
    """Draws every profession that is not held out with each concept in turn, and has the judge count.

    `pictures`: a profession; even, so that half are asked for each concept. `steps`: of DDIM.
    """

    unet: SplitNetwork
    judge: Judge
    pictures: int
    steps: int

    def __call__(self, modules: Modules) -> float:
        """Return the mean deviation ratio. Pictures that the judge is unsure of belong to no concept."""
        turns = list(islice(cycle(modules.values()), self.pictures))
        seen = {}
        for job in TRAINED:
            pictures = draw(self.unet, photo_of(job), ("exam", job), turns, self.steps)
            seen[job] = _counted(self.judge.verdicts(to_tensor(pictures))["gender"].labels, modules)
        return mean_deviation_ratio(seen)


def _counted(labels: Sequence[str], modules: Modules) -> dict[str, int]:
    """Where every picture is unsure nothing is known to be fair: as if one concept alone had been seen."""
    counts = {concept: labels.count(concept) for concept in modules}
    return counts if any(counts.values()) else {concept: int(i == 0) for i, concept in enumerate(counts)}


class Watch:
    """A clock that stands still while modules are examined."""

    def __init__(self, exam: Callable[[Modules], float], course: Course, budget: float):
        self.exam, self.course, self.budget = exam, course, budget
        self.trained, self.since = 0.0, time.perf_counter()

    def after_step(self, step: int, every: int, modules: Modules) -> None:
        """Examine every so many steps. Raises Done at the goal, and when the budget is spent."""
        now = time.perf_counter()
        elapsed = self.trained + now - self.since
        spent = elapsed >= self.budget
        if step % every and not spent:
            return
        ratio = self.exam(modules)
        self.course.checkpoints.append((step, elapsed, ratio))
        print(f"  step {step:5}  {elapsed:7.1f} s of training  deviation ratio {ratio:.3f}", flush=True)
        if ratio <= GOAL or spent:
            raise Done
        self.trained, self.since = elapsed, time.perf_counter()


def train_ours(checkpoint: Path, exam: Exam, budget: float) -> Course:
    """Train as the preset "gender" does, by recipe "respo", on the machine's own precision."""
    course = Course()
    unet = load_unet(checkpoint, "auto")
    watch = Watch(exam, course, budget)

    def on_step(state: TrainState) -> None:
        watch.after_step(state.step, OUR_CHECKPOINTS, state.modules())

    with suppress(Done):
        train(configuration("respo"), unet, on_step)
    return course


def train_released(checkpoint: Path, exam: Exam, budget: float) -> Course:
    """Train both concepts with the released loop, in float32, one step of each at a time."""
    course = Course()
    unet = load_unet(checkpoint, "float32")
    config = configuration("released")
    runs = {name: Released(unet, config, name, prompts) for name, prompts in encode_prompts(config, unet).items()}
    watch = Watch(exam, course, budget)
    modules = {name: run.module for name, run in runs.items()}
    with each_on_its_core(len(runs), unet) as for_each, suppress(Done):
        for step in range(1, config.steps + 1):
            list(for_each(Released.step, runs.values()))
            watch.after_step(step, RELEASED_CHECKPOINTS, modules)
    return course


def time_to_goal(checkpoint: Path, judge: Path, budget: float, pictures: int, steps: int) -> dict[str, Any]:
    """Train both. `budget`: seconds of training for the released loop. `pictures` a profession, `steps` of DDIM."""
    exam = Exam(load_unet(checkpoint, "auto"), load_judge(judge), pictures, steps)
    print(f"ours, until the deviation ratio is {GOAL} or lower", flush=True)
    ours = train_ours(checkpoint, exam, budget)
    print("released", flush=True)
    released = train_released(checkpoint, exam, budget)
    return compared(ours, released)


def compared(ours: Course, released: Course) -> dict[str, Any]:
    """Return both courses and their ratio: None when ours did not get there, a lower bound when theirs did not."""
    return {
        "goal": GOAL,
        "ratio": released.seconds / ours.seconds if ours.reached else None,
        "is_lower_bound": ours.reached and not released.reached,
        "ours": {"reached": ours.reached, "seconds": ours.seconds, "checkpoints": ours.checkpoints},
        "released": {"reached": released.reached, "seconds": released.seconds, "checkpoints": released.checkpoints},
    }
