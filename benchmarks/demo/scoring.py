"""From pictures to figures: counts by the judge, deviation ratios with intervals, what else changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from respo_train.core.judge import UNSURE, Judge
from respo_train.core.metrics import Interval, bootstrap_assigned, mean_deviation_ratio
from respo_train.core.segmenter import Segmenter

Pictures = NDArray[np.uint8]  # [N, H, W, 3]


@dataclass(frozen=True)
class Score:
    """What the judge saw in one run.

    `counts`: profession -> asked concept ("" where nothing was asked) -> seen concept -> pictures.
    `unsure`: share of pictures in which the judge saw no concept for sure.
    """

    counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    unsure: float
    profession_accuracy: float
    overall: Interval

    def interval(self, profession: str) -> Interval:
        """Return one profession's deviation ratio."""
        return bootstrap_assigned({profession: self.counts[profession]})


def to_tensor(pictures: Pictures) -> Tensor:
    """[N, H, W, 3] 0…255 -> [N, 3, H, W] 0…1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


def score(
    judge: Judge,
    runs: Mapping[str, Pictures],
    concepts: Sequence[str],
    labels: Mapping[str, Sequence[str]] | None = None,
    attribute: str = "gender",
) -> Score:
    """Judge every profession's pictures; `labels` says what each picture was asked to show, if anything.

    "Unsure" belongs to no concept; a profession that is wrong or unsure is not accurate.
    """
    counts: dict[str, dict[str, dict[str, int]]] = {}
    right, sure, total = 0, 0, 0
    for profession, pictures in runs.items():
        verdicts = judge.verdicts(to_tensor(pictures))
        asked = labels[profession] if labels else [""] * len(pictures)
        pairs = Counter(zip(asked, verdicts[attribute].labels, strict=True))
        counts[profession] = {a: {c: pairs[a, c] for c in concepts} for a in dict.fromkeys(asked)}
        sure += sum(pairs[a, c] for a in counts[profession] for c in concepts)
        right += sum(label == profession for label in verdicts["profession"].labels)
        total += len(pictures)
    return Score(counts, 1 - sure / total, right / total, bootstrap_assigned(counts))


def agreement(
    judge: Judge, runs: Mapping[str, Pictures], labels: Mapping[str, Sequence[str]], attribute: str = "gender"
) -> dict[str, float]:
    """Return, for each concept, the share of pictures that were to show it and do. Unsure counts as not."""
    asked: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for profession, pictures in runs.items():
        for wish, label in zip(labels[profession], judge.verdicts(to_tensor(pictures))[attribute].labels, strict=True):
            asked[wish] += 1
            seen[wish] += label == wish != UNSURE
    return {concept: seen[concept] / asked[concept] for concept in asked}


def perfect(labels: Mapping[str, Sequence[str]]) -> float:
    """Return the mean deviation ratio of a method that draws every picture as it was asked to."""
    return mean_deviation_ratio({profession: Counter(wishes) for profession, wishes in labels.items()})


def background_psnr(segmenter: Segmenter, before: Mapping[str, Pictures], after: Mapping[str, Pictures]) -> Interval:
    """Return the mean PSNR in dB between pictures of the same seed, outside both persons, and its interval."""
    found = np.concatenate(list(background_psnrs(segmenter, before, after).values()))
    rng = np.random.default_rng(0)
    means = [rng.choice(found, len(found)).mean() for _ in range(2000)]
    return Interval(float(found.mean()), float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5)))


def background_psnrs(
    segmenter: Segmenter, before: Mapping[str, Pictures], after: Mapping[str, Pictures]
) -> dict[str, NDArray[np.float32]]:
    """Return each picture's PSNR in dB, at most 100, outside both persons, by profession."""
    values = {}
    for profession in before:
        first, second = to_tensor(before[profession]), to_tensor(after[profession])
        outside = ~(segmenter.masks(first) | segmenter.masks(second))
        error = (first - second).square().mean(1)
        mean = (error * outside).sum((1, 2)) / outside.sum((1, 2)).clamp(min=1)
        values[profession] = -10 * mean.clamp(min=1e-10).log10().numpy()
    return values
