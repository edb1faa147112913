"""Figures of runs that are kept as {profession: pictures}: `respo_train.evaluation` does the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from respo_train.core.counting.metrics import Interval
from respo_train.core.judge import UNSURE
from respo_train.evaluation import figures, seen
from respo_train.evaluation.drawn import Drawn, to_tensor
from respo_train.judges.emoji_world import Judge
from respo_train.judges.segmenter import Segmenter

__all__ = ["Pictures", "Score", "agreement", "background_psnr", "background_psnrs", "perfect", "score", "to_tensor"]

Pictures = NDArray[np.uint8]  # [N, H, W, 3]
Labels = Mapping[str, Sequence[str]]  # profession -> what each picture was asked to show


@dataclass(frozen=True)
class Score:
    """What the judge saw in one run. `unsure`: share of pictures in which it saw no concept for sure."""

    ratios: Mapping[str, Interval]
    unsure: float
    profession_accuracy: float
    overall: Interval

    def interval(self, profession: str) -> Interval:
        """Return one profession's deviation ratio."""
        return self.ratios[profession]


def drawn_of(runs: Mapping[str, Pictures], labels: Labels | None = None) -> list[Drawn]:
    """Return runs as the evaluation takes them; `labels`: what was asked, if anything."""
    return [
        Drawn(job, job, pictures, tuple(labels[job]) if labels else ("",) * len(pictures))
        for job, pictures in runs.items()
    ]


def score(
    judge: Judge,
    runs: Mapping[str, Pictures],
    concepts: Sequence[str],
    labels: Labels | None = None,
    attribute: str = "gender",
) -> Score:
    """Judge every profession's pictures. Unsure is no concept, and not the right profession."""
    drawn = drawn_of(runs, labels)
    ratios = {one.group: interval_of(figures.deviation(judge, [one], attribute, concepts)) for one in drawn}
    found = [label for one in drawn for label in seen.labels(judge, one, attribute)]
    overall = interval_of(figures.deviation(judge, drawn, attribute, concepts))
    return Score(ratios, found.count(UNSURE) / len(found), figures.accuracy(judge, drawn).value, overall)


def agreement(
    judge: Judge, runs: Mapping[str, Pictures], labels: Labels, attribute: str = "gender"
) -> dict[str, float]:
    """Return, for each concept, the share of pictures that were to show it and do. Unsure counts as not."""
    obeyed = figures.obeyed(judge, drawn_of(runs, labels), attribute)
    asked = np.array([wish for job in runs for wish in labels[job]])
    return {str(concept): float(obeyed[asked == concept].mean()) for concept in dict.fromkeys(asked)}


def perfect(labels: Labels) -> float:
    """Return the mean deviation ratio of a method that draws every picture as it was asked to."""
    concepts = tuple(dict.fromkeys(wish for wishes in labels.values() for wish in wishes))
    nothing = {job: np.zeros((len(wishes), 1, 1, 3), np.uint8) for job, wishes in labels.items()}
    return figures.perfect(drawn_of(nothing, labels), concepts).value


def background_psnr(segmenter: Segmenter, before: Mapping[str, Pictures], after: Mapping[str, Pictures]) -> Interval:
    """Return the mean PSNR in dB between pictures of the same seed, outside both persons, and its interval."""
    return interval_of(figures.background_psnr(segmenter, drawn_of(before), drawn_of(after)))


def background_psnrs(
    segmenter: Segmenter, before: Mapping[str, Pictures], after: Mapping[str, Pictures]
) -> dict[str, NDArray[np.float64]]:
    """Return each picture's PSNR in dB, at most 100, outside both persons, by profession."""
    return {
        job: figures.background_psnrs(segmenter, drawn_of({job: before[job]}), drawn_of({job: after[job]}))
        for job in before
    }


def interval_of(figure: figures.Figure) -> Interval:
    """Return a figure's three numbers."""
    return Interval(figure.value, figure.low, figure.high)
