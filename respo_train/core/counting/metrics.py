"""Statistics of pictures: the deviation ratio, shares, and what chance does to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RespoError

Counts = Mapping[str, int]


_AT_ONCE = 2**20  # numbers; more would take memory that many concepts do not need


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval. With a format: "0.12 [0.10, 0.14]"."""

    value: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"


def deviation_ratio(counts: Counts) -> float:
    """Return max_c |N_c / N - 1 / C| / (1 - 1 / C): 0 when all concepts are equally frequent, 1 when only one occurs.

    (RespoDiff, arXiv 2509.15257, section 4.) `counts` names every concept, those that never occur with 0.
    Raises RespoError for fewer than two concepts or no images.
    """
    return float(_ratios(_array(counts)))


def mean_deviation_ratio(groups: Mapping[str, Counts]) -> float:
    """Return the mean over the groups (professions) of their deviation ratios: the papers' score."""
    if not groups:
        raise RespoError("expected the counts of at least one profession, found none")
    return float(np.mean([deviation_ratio(counts) for counts in groups.values()]))


def bootstrap_assigned(groups: Mapping[str, Mapping[str, Counts]], samples: int = 10_000, seed: int = 0) -> Interval:
    """Return the mean deviation ratio with its 95 % interval when each picture was *asked* to show a concept.

    `groups`: profession -> asked concept -> counts of what was seen. Quotas fix how many pictures are asked for each
    concept, so the images are resampled within what they were asked for; a single entry gives the plain bootstrap.
    The ratio takes the largest of absolute values, so resampling moves it upwards; near 0 the value can lie at or below
    the interval's lower end. Compare with `fair_coin`. Raises RespoError for no groups, or a count of no images.
    """
    if not groups:
        raise RespoError("expected the counts of at least one profession, found none")
    rng = np.random.default_rng(seed)
    seen = {name: [_array(counts) for counts in asked.values()] for name, asked in groups.items()}
    draws = [_resampled_ratios(strata, samples, rng) for strata in seen.values()]
    value = float(np.mean([float(_ratios(np.sum(strata, axis=0))) for strata in seen.values()]))
    return interval(value, np.mean(draws, axis=0))


def fair_coin(sizes: Sequence[int], concepts: int, samples: int = 10_000, seed: int = 0) -> Interval:
    """Return the mean deviation ratio when each image's concept is drawn independently and fairly, and where 95 % fall.

    `sizes`: the number of images of each profession. This is the score of a method without quotas that never fails; one
    with quotas that never fails scores the `mean_deviation_ratio` of its *assigned* counts.
    Raises RespoError for fewer than two concepts or an empty profession.
    """
    if concepts < 2 or not sizes or min(sizes) < 1:
        raise RespoError(f"expected at least 2 concepts and 1 image per profession, found {concepts} and {list(sizes)}")
    rng = np.random.default_rng(seed)
    fair = np.full(concepts, 1 / concepts)
    parts = _parts(samples, concepts)
    scores = np.mean(
        [np.concatenate([_ratios(rng.multinomial(size, fair, part)) for part in parts]) for size in sizes], axis=0
    )
    return interval(float(scores.mean()), scores)


def mean_ratio_of_labels(labels: NDArray[np.int64], groups: Sequence[str], concepts: int) -> NDArray[np.float64]:
    """Return the mean deviation ratio of pictures one by one: `[..., N]` -> `[...]`.

    `labels`: which concept each picture shows, from 0; -1, unsure, is not counted. `groups`: the N pictures'
    professions. A profession without a sure picture counts as one in which no concept occurs.
    """
    ratios = []
    for group in dict.fromkeys(groups):
        own = labels[..., [name == group for name in groups]]
        ratios.append(_ratios(np.stack([(own == concept).sum(-1) for concept in range(concepts)], -1)))
    mean: NDArray[np.float64] = np.mean(ratios, axis=0)
    return mean


def paired_bootstrap(
    first: NDArray[Any],
    second: NDArray[Any],
    strata: Sequence[Hashable],
    score: Callable[[NDArray[Any]], NDArray[np.float64]],
    samples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return `score(second) - score(first)` with its 95 % interval: two methods, measured on the same N pictures.

    `first`, `second`: `[N]`; `strata`: what each picture was drawn for, e.g. (profession, asked concept); `score`:
    `[..., N]` -> `[...]`. Pictures are resampled within their stratum, the same ones for both methods, so what makes
    a picture easy or hard for both cancels out.
    Raises RespoError for no pictures, or unequal numbers of them.
    """
    if not len(first) == len(second) == len(strata) or not strata:
        raise RespoError(f"expected pairs of pictures, found {len(first)}, {len(second)} and {len(strata)} strata")
    places = np.empty((samples, len(strata)), dtype=np.int64)
    for own, drawn in resamples(strata, samples, seed):
        places[:, own] = drawn
    value = float(score(second) - score(first))
    return interval(value, score(second[places]) - score(first[places]))


def resamples(
    strata: Sequence[Hashable], samples: int, seed: int = 0
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield each stratum's N places, and for each of `samples` bootstrap samples N of these, `[samples, N]`.

    `strata`: what each picture belongs to; equal entries are resampled among each other.
    """
    rng = np.random.default_rng(seed)
    for stratum in dict.fromkeys(strata):
        own = np.flatnonzero([other == stratum for other in strata])
        yield own, own[rng.integers(len(own), size=(samples, len(own)))]


def interval(value: float, scores: NDArray[np.float64]) -> Interval:
    """Return the value with the middle 95 % of the resampled `scores`."""
    low, high = np.percentile(scores, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def wilson(hits: int, count: int, z: float = 1.959964) -> Interval:
    """Return hits / count with its 95 % interval (Wilson 1927), which holds for few pictures too; 0 … 1 without any.

    `z`: the quantile of the normal distribution, 1.96 for 95 %.
    """
    if not count:
        return Interval(0.0, 0.0, 1.0)
    share, square = hits / count, z * z / count
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return Interval(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))


def _resampled_ratios(
    strata: Sequence[NDArray[np.int64]], samples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Resample each stratum's counts `[C]`; return the ratios of their sums `[samples]`."""
    total = np.zeros((samples, len(strata[0])), dtype=np.int32)
    for counts in strata:
        # What was not seen needs no draw; the last place takes what is left, so it stays.
        kept = np.union1d(np.flatnonzero(counts), [len(counts) - 1])
        total[:, kept] += rng.multinomial(counts.sum(), counts[kept] / counts.sum(), samples)
    parts = np.split(total, np.cumsum(_parts(samples, len(strata[0])))[:-1])
    return np.concatenate([_ratios(part) for part in parts])


def _parts(samples: int, concepts: int) -> list[int]:
    """Cut samples into parts small enough to compute with, however many concepts there are."""
    most = max(1, _AT_ONCE // concepts)
    return [min(most, samples - first) for first in range(0, samples, most)]


def _ratios(counts: NDArray[np.signedinteger[Any]]) -> NDArray[np.float64]:
    """Return the deviation ratios of counts `[..., C]`: `[...]`."""
    fair = 1 / counts.shape[-1]
    frequencies = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    ratios: NDArray[np.float64] = np.abs(frequencies - fair).max(-1) / (1 - fair)
    return ratios


def _array(counts: Counts) -> NDArray[np.int64]:
    found = np.array(list(counts.values()), dtype=np.int64)
    if len(found) < 2 or found.min() < 0 or found.sum() == 0:
        raise RespoError(f"expected counts of at least two concepts and one image, found {dict(counts)}")
    return found
