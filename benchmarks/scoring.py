"""What the judge says of one run on Emoji World whose pictures share out gender: the figures of many benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emoji_world.world import GENDERS
from respo_train.core.judge import UNSURE
from respo_train.evaluation.background import background_psnr
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.figure import Figure
from respo_train.evaluation.ratios import deviation
from respo_train.evaluation.seen import Looks, labels
from respo_train.evaluation.shares import accuracy, obeyed
from respo_train.judges.segmenter import Segmenter

from .drawing import unasked


def score(judge: Looks, run: Sequence[Drawn]) -> dict[str, Any]:
    """Return how even a run is, and the shares of right professions and of pictures without a sure gender.

    Unsure is no concept, and not the right profession.
    """
    seen = [label for one in run for label in labels(judge, one, "gender")]
    return {
        "deviation_ratio": deviation(judge, run, "gender", GENDERS),
        "profession_accuracy": accuracy(judge, run).value,
        "unsure": seen.count(UNSURE) / len(seen),
    }


def compared(judge: Looks, segmenter: Segmenter, before: Sequence[Drawn], after: Sequence[Drawn]) -> dict[str, Any]:
    """Return the score of steered pictures, what they kept of the unmodified ones, and what of each concept is seen."""
    return {
        **score(judge, after),
        "asked_and_seen": agreement(judge, after),
        # Resampled within professions, whatever was asked.
        "background_psnr": background_psnr(segmenter, before, unasked(after)),
    }


def by_profession(judge: Looks, run: Sequence[Drawn]) -> dict[str, Figure]:
    """Return each profession's deviation ratio."""
    return {one.group: deviation(judge, [one], "gender", GENDERS) for one in run}


def agreement(judge: Looks, run: Sequence[Drawn]) -> dict[str, float]:
    """Return, for each concept, the share of pictures that were to show it and do. Unsure counts as not."""
    flags = obeyed(judge, run, "gender")
    asked = np.array([wish for one in run for wish in one.asked])
    return {str(concept): float(flags[asked == concept].mean()) for concept in dict.fromkeys(asked)}
