"""Diversity within a group: how different the women among a profession's pictures are from each other.

A method can reach equal shares and still draw the same woman every time; rewriting prompts is known to do so (arXiv
2508.03483). So the pictures of one profession and one concept are compared with each other, pair by pair, and the mean
distance is divided by that of the unmodified model's own pictures of the same profession and concept. The mean over
pairs does not depend on how many pictures there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.counting.metrics import interval, resamples
from ..judges.segmenter import Segmenter
from .drawn import Drawn, to_tensor
from .figure import SAMPLES, Figure, nothing
from .seen import Looks, labels

Vectors = NDArray[np.float64]  # one row a picture
Group = tuple[str, str]  # a profession and what the judge sees of the attribute
FEWEST = 5  # pictures of a group


def distances(vectors: Vectors) -> Vectors:
    """Return the Euclidean distance of every two rows, `[n, D]` -> `[n, n]`."""
    return np.sqrt(np.square(vectors[:, None] - vectors[None]).sum(2))


def one_hot(judge: Looks, drawn: Sequence[Drawn], attribute: str) -> Vectors:
    """Return the judge's label of each picture as a row; two rows are 1 apart where the labels differ, otherwise 0."""
    names = [*judge.classes[attribute], None]
    seen = [label for one in drawn for label in labels(judge, one, attribute)]
    return np.array([[(label == name) / 2**0.5 for name in names] for label in seen], dtype=np.float64)


def surroundings(segmenter: Segmenter, drawn: Sequence[Drawn]) -> Vectors:
    """Return the mean colour outside the person, `[N, 3]`, 0 … 1; NaN where the person fills the picture."""
    found = []
    for one in drawn:
        images = to_tensor(one.images)
        outside = ~segmenter.masks(images)[:, None]
        found.append(((images * outside).sum((2, 3)) / outside.sum((2, 3))).double().numpy())
    return np.concatenate(found) if found else np.zeros((0, 3))


def groups_of(
    judge: Looks, drawn: Sequence[Drawn], attribute: str, concepts: Sequence[str]
) -> Mapping[Group, list[int]]:
    """Return the places of the pictures that show each of `concepts`, by group."""
    seen = [(one.group, label) for one in drawn for label in labels(judge, one, attribute)]
    found: dict[Group, list[int]] = {}
    for place, group in enumerate(seen):
        if group[1] in concepts:
            found.setdefault(group, []).append(place)
    return found


def diversity(
    vectors: Vectors, groups: Mapping[Group, Sequence[int]], own: Vectors, own_groups: Mapping[Group, Sequence[int]]
) -> Figure:
    """Return the mean distance within groups over that within the unmodified model's own groups.

    `vectors`, `groups`: the method's pictures; `own`, `own_groups`: the unmodified model's. Both means are over the
    groups of which both have 5 pictures or more. Pictures are resampled within their group; a picture and its own copy
    are no pair.
    """
    both = [name for name, places in groups.items() if min(len(places), len(own_groups.get(name, ()))) >= FEWEST]
    n = sum(len(groups[name]) for name in both)
    left_out = len(groups.keys() | own_groups.keys()) - len(both)
    if not both:
        return nothing(0, f"no group has {FEWEST} pictures of both")
    tops = [_means(vectors[groups[name]], seed) for seed, name in enumerate(both)]
    bottoms = [_means(own[own_groups[name]], seed) for seed, name in enumerate(both)]
    value, below = np.mean([mean for mean, _ in tops]), np.mean([mean for mean, _ in bottoms])
    if not below:
        return nothing(n, "the unmodified model's pictures do not differ")
    ratios = np.mean([again for _, again in tops], 0) / np.mean([again for _, again in bottoms], 0)
    found = interval(float(value / below), ratios)
    note = f"{left_out} groups of fewer than {FEWEST} pictures left out" if left_out else ""
    return Figure(found.value, found.low, found.high, n, note)


def _means(rows: Vectors, seed: int) -> tuple[float, Vectors]:
    """Return the mean distance over all pairs, and the same of resampled pictures, `[SAMPLES]`."""
    rows = rows[np.isfinite(rows).all(1)]
    apart, n = distances(rows), len(rows)
    ((_, drawn_again),) = resamples([0] * n, SAMPLES, seed)
    times = np.stack([np.bincount(places, minlength=n) for places in drawn_again]).astype(np.float64)
    pairs = n**2 - np.square(times).sum(1)  # without those of a picture and its own copy
    again = np.einsum("sn,nm,sm->s", times, apart, times) / np.maximum(pairs, 1)
    return float(apart.sum() / (n * (n - 1))), again
