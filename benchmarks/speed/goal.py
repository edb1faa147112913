"""Time to the same deviation ratio on Emoji World: both loops are trained, and looked at as they go.

The goal was written down before anything was measured. The time is that of training alone, at the first look at which
the modules meet the goal; nothing is interpolated. Both loops train both concepts side by side, one core each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from benchmarks.command import Row
from benchmarks.drawing import TRAINED, draw, photo_of
from benchmarks.evidence.bench import JUDGE
from respo_train.core.counting.metrics import mean_deviation_ratio
from respo_train.core.module.concept import ConceptModule
from respo_train.evaluation.drawn import to_tensor
from respo_train.host.load import load_unet
from respo_train.judges.emoji_world import Judge, load_judge
from respo_train.network import SplitNetwork
from respo_train.prompts import encode_prompts
from respo_train.trainer import TrainState, each_on_its_core, train

from .released import Released
from .steps import CHECKPOINT, configuration

GOAL = 0.15
BUDGET = 120.0  # seconds that a loop may train for
PICTURES, STEPS = 6, 10  # of each profession, half of them asked for each concept; of DDIM
OUR_LOOKS, RELEASED_LOOKS = 20, 50  # optimizer steps between two looks at the modules

Modules = Mapping[str, ConceptModule]


class Done(Exception):
    """The goal is met, or the budget spent."""


@dataclass
class Watch:
    """A clock that stands still while modules are examined. `looks`: (steps, seconds of training, deviation ratio)."""

    exam: Callable[[Modules], float]
    every: int
    budget: float = BUDGET
    looks: list[tuple[int, float, float]] = field(default_factory=list)
    trained: float = 0.0
    since: float = field(default_factory=lambda: time.perf_counter())

    def after_step(self, step: int, modules: Modules) -> None:
        """Examine every so many steps. Raises Done at the goal, and when the budget is spent."""
        elapsed = self.trained + time.perf_counter() - self.since
        spent = elapsed >= self.budget
        if step % self.every and not spent:
            return
        ratio = self.exam(modules)
        self.looks.append((step, elapsed, ratio))
        if ratio <= GOAL or spent:
            raise Done
        self.trained, self.since = elapsed, time.perf_counter()

    @property
    def figures(self) -> dict[str, Any]:
        """The last look: training stops at the first that meets the goal."""
        step, seconds, ratio = self.looks[-1]
        return {"reached": ratio <= GOAL, "steps": step, "seconds": seconds, "deviation_ratio": ratio}


def examined(unet: SplitNetwork, judge: Judge, modules: Modules) -> float:
    """Draw every profession that is not held out with each concept in turn; return the mean deviation ratio.

    Pictures that the judge is unsure of belong to no concept. Where all are, nothing is known to be fair: as if one
    concept alone had been seen.
    """
    turns, seen = list(islice(cycle(modules.values()), PICTURES)), {}
    for job in TRAINED:
        labels = judge.verdicts(to_tensor(draw(unet, photo_of(job), ("exam", job), turns, STEPS)))["gender"].labels
        counts = {concept: labels.count(concept) for concept in modules}
        seen[job] = counts if any(counts.values()) else {concept: int(i == 0) for i, concept in enumerate(counts)}
    return mean_deviation_ratio(seen)


def train_ours(watch: Watch) -> None:
    """Train as the preset "gender" does, by recipe "respo", on the machine's own precision."""

    def on_step(state: TrainState) -> None:
        watch.after_step(state.step, state.modules())

    with suppress(Done):
        train(configuration("respo"), load_unet(CHECKPOINT, "auto"), on_step)


def train_released(watch: Watch) -> None:
    """Train both concepts with the released loop, in float32, one step of each at a time."""
    unet, config = load_unet(CHECKPOINT, "float32"), configuration("released")
    runs = {name: Released(unet, config, name, prompts) for name, prompts in encode_prompts(config, unet).items()}
    modules = {name: run.module for name, run in runs.items()}
    with each_on_its_core(len(runs), unet) as for_each, suppress(Done):
        for step in range(1, config.steps + 1):
            list(for_each(Released.step, runs.values()))
            watch.after_step(step, modules)


def time_to_goal() -> Iterator[Row]:
    """Train both; yield how far each came, and the ratio of the times."""
    unet, judge = load_unet(CHECKPOINT, "auto"), load_judge(JUDGE)
    found = {}
    for name, loop, every in (("ours", train_ours, OUR_LOOKS), ("released", train_released, RELEASED_LOOKS)):
        watch = Watch(lambda modules: examined(unet, judge, modules), every)
        loop(watch)
        found[name] = watch.figures
        yield f"to a deviation ratio of {GOAL}: {name}", found[name]
    yield f"to a deviation ratio of {GOAL}: released / ours", compared(found["ours"], found["released"])


def compared(ours: Mapping[str, Any], released: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ratio of the times: None when ours did not get there, a lower bound when theirs did not."""
    return {
        "seconds": released["seconds"] / ours["seconds"] if ours["reached"] else None,
        "is_lower_bound": ours["reached"] and not released["reached"],
    }
