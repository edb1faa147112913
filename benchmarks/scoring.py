"""What the judge says of one run on Emoji World: the figures that several benchmarks have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from respo_train.core.judge import UNSURE
from respo_train.evaluation.background import background_psnr
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.figure import Figure
from respo_train.evaluation.ratios import deviation
from respo_train.evaluation.seen import Looks, labels
from respo_train.evaluation.shares import accuracy, obeyed
from respo_train.judges.segmenter import Segmenter

from .drawing import unasked


@dataclass(frozen=True)
class Score:
    """`ratios`: each profession's deviation ratio. `unsure`: share of pictures that show no concept for sure."""

    ratios: Mapping[str, Figure]
    overall: Figure
    profession_accuracy: float
    unsure: float

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON, without the professions."""
        return {
            "deviation_ratio": self.overall.to_dict(),
            "profession_accuracy": self.profession_accuracy,
            "unsure": self.unsure,
        }


def score(judge: Looks, run: Sequence[Drawn], concepts: Sequence[str], attribute: str = "gender") -> Score:
    """Judge a run. Unsure is no concept, and not the right profession."""
    ratios = {one.group: deviation(judge, [one], attribute, concepts) for one in run}
    seen = [label for one in run for label in labels(judge, one, attribute)]
    overall = deviation(judge, run, attribute, concepts)
    return Score(ratios, overall, accuracy(judge, run).value, seen.count(UNSURE) / len(seen))


def before_and_after(before: Score, after: Score) -> dict[str, dict[str, Any]]:
    """Return both scores for JSON, figure by figure."""
    first, second = before.to_dict(), after.to_dict()
    return {name: {"before": first[name], "after": second[name]} for name in first}


def agreement(judge: Looks, run: Sequence[Drawn], attribute: str = "gender") -> dict[str, float]:
    """Return, for each concept, the share of pictures that were to show it and do. Unsure counts as not."""
    flags = obeyed(judge, run, attribute)
    asked = np.array([wish for one in run for wish in one.asked])
    return {str(concept): float(flags[asked == concept].mean()) for concept in dict.fromkeys(asked)}


def concepts_seen(judge: Looks, run: Sequence[Drawn], concepts: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of the concept that each picture shows, `[N]`; -1: unsure."""
    seen = [label for one in run for label in labels(judge, one, "gender")]
    return np.array([concepts.index(label) if label in concepts else -1 for label in seen])


def background(segmenter: Segmenter, before: Sequence[Drawn], after: Sequence[Drawn]) -> Figure:
    """Return the mean PSNR in dB outside both persons, resampled within professions whatever was asked."""
    return background_psnr(segmenter, before, unasked(after))
