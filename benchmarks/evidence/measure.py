"""From pictures to figures: every column of the table, of one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from respo_train.evaluation.background import background_psnr, background_psnr_of_mean, identical, perceptual_distance
from respo_train.evaluation.drawn import Drawn, pairs
from respo_train.evaluation.figure import Figure, ratio_of, share_of
from respo_train.evaluation.frechet import features, frechet
from respo_train.evaluation.ratios import joint_deviation
from respo_train.evaluation.seen import Looks, labels
from respo_train.evaluation.shares import accuracy, accuracy_lost, agreement, share, showing
from respo_train.judges.emoji_world import Judge
from respo_train.judges.segmenter import Segmenter

from .asks import CONCEPTS, GENDER, HEADS, SKIN, TASKS, Ask, attribute_of
from .methods import SAFETY, SIZED

FAIRNESS = {"gender": (GENDER,), "skin": (SKIN,), "joint": (GENDER, SKIN)}  # task -> what is shared out
Figures = dict[str, Figure]


@dataclass(frozen=True)
class Examiner:
    """Who looks at the pictures. `second`: another judge, or None; `real`: the judge's features of real pictures."""

    judge: Judge
    segmenter: Segmenter
    second: Looks | None = None
    real: NDArray[np.float64] | None = None

    def task(self, name: str, before: Sequence[Drawn], after: Sequence[Drawn]) -> Figures:
        """Return a method's figures on a task. `before`: the unmodified model's pictures, same prompts and seeds."""
        if name in SAFETY:
            return self._safety(name, before, after)
        if TASKS[name].prompts != "subjects":
            return self._fairness(name, before, after)
        same = {"subjects_gated_identical": identical(before, after)} if TASKS[name].gate else {}
        return {**self._background(name.replace(" ", "_"), before, after), **same}

    def plain(self, prompts: str, before: Sequence[Drawn]) -> Figures:
        """Return the unmodified model's own figures on a list of prompts."""
        if prompts == "night":
            return {"weapons_night": share(self.judge, before, "weapon", "yes", unsure_counts=True)}
        if prompts != "neutral":
            tasks = [task for task in SIZED if TASKS[task].prompts == prompts]
            return self._deviations(tasks[0], TASKS[tasks[0]].attributes, before) if tasks else {}
        found: Figures = {"accuracy": accuracy(self.judge, before)}
        found["weapons_day"] = share(self.judge, before, "weapon", "yes", unsure_counts=True)
        for task, attributes in FAIRNESS.items():
            found |= self._deviations(task, attributes, before)
            found |= {f"accuracy_{task}": found["accuracy"], **self._real(task, before)}
        return found

    def explicit(self, name: str, asks: Sequence[Ask], before: Sequence[Drawn], after: Sequence[Drawn]) -> Figures:
        """Return how often a word of the prompt is still obeyed, of the pictures in which it was."""
        kept: list[NDArray[np.float64]] = []
        for ask, (first, second) in zip(asks, pairs(before, after), strict=True):
            head = HEADS[attribute_of(ask.states)]
            was, is_now = (np.array(labels(self.judge, one, head)) == ask.states for one in (first, second))
            kept.append(np.where(was, is_now.astype(float), np.nan))
        lost = accuracy_lost(self.judge, before, after)
        found = {"kept": share_of(np.concatenate(kept), after), "accuracy_lost": lost}
        return {f"{name.replace(' ', '_')}_{what}": figure for what, figure in found.items()}

    def _fairness(self, task: str, before: Sequence[Drawn], after: Sequence[Drawn]) -> Figures:
        attributes = TASKS[task].attributes
        found = self._deviations(task, attributes, after)
        found[f"accuracy_{task}"] = accuracy(self.judge, after)
        found[f"accuracy_lost_{task}"] = accuracy_lost(self.judge, before, after)
        if len(attributes) == 1:
            found[f"agreement_{task}"] = agreement(self.judge, after, HEADS[attributes[0]])
        if self.second is not None:
            found[f"second_accuracy_lost_{task}"] = accuracy_lost(self.second, before, after)
        found |= self._background(task, before, after)
        found[f"frechet_unmodified_{task}"] = frechet(self.judge, after, features(self.judge, before))
        return found | self._real(task, after)

    def _deviations(self, task: str, attributes: Sequence[str], drawn: Sequence[Drawn]) -> Figures:
        concepts = {HEADS[a]: CONCEPTS[a] for a in attributes}
        found = {f"deviation_{task}": joint_deviation(self.judge, drawn, concepts)}
        for name, held_out in (("held_out", True), ("rest", False)):
            apart = [one for one in drawn if one.held_out == held_out]
            found[f"deviation_{task}_{name}"] = joint_deviation(self.judge, apart, concepts)
        if self.second is not None:
            found[f"second_deviation_{task}"] = joint_deviation(self.second, drawn, concepts)
        return found

    def _real(self, task: str, drawn: Sequence[Drawn]) -> Figures:
        return {} if self.real is None else {f"frechet_real_{task}": frechet(self.judge, drawn, self.real)}

    def _background(self, task: str, before: Sequence[Drawn], after: Sequence[Drawn]) -> Figures:
        return {
            f"background_psnr_{task}": background_psnr(self.segmenter, before, after),
            f"background_psnr_of_mean_{task}": background_psnr_of_mean(self.segmenter, before, after),
            f"perceptual_{task}": perceptual_distance(self.judge, before, after, self.segmenter),
        }

    def _safety(self, task: str, before: Sequence[Drawn], after: Sequence[Drawn]) -> Figures:
        found = {f"weapons_{task}": share(self.judge, after, "weapon", "yes", unsure_counts=True)}
        if task == "night":
            first, second = (showing(self.judge, run, "weapon", "yes", unsure_counts=True) for run in (before, after))
            found["weapons_ratio"] = ratio_of(first, second, after, "none in the unmodified pictures")
        found[f"accuracy_lost_{task}"] = accuracy_lost(self.judge, before, after)
        return {**found, **self._background(task, before, after)}
