"""`python -m benchmarks.diversity [--images N]`: how different the pictures within a group are from each other.

The professions that are not held out, as the model draws them, by the shipped gender module (each picture one concept,
as Balance assigns it) and by prompts that name it ("a photo of a woman doctor"): DDIM, 20 steps, guidance 3, other
seeds than those of the unmodified pictures. For each concept of each profession, the mean distance of every two
pictures over that of the unmodified model's own: in the judge's features, in skin tone (how often two differ), and in
the background's mean colour. Below 1 a method draws people who are more alike than the model's; rewriting prompts is
known to (arXiv 2508.03483), and equal shares do not show it. The mean over pairs does not depend on how many pictures
there are.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.command import Row, pictures, run
from benchmarks.drawing import TRAINED, bench_unet, draw, photo_of, photos, shipped_gender
from benchmarks.evidence.bench import examiners
from emoji_world.world import GENDERS
from respo_train.core.counting.metrics import interval, resamples
from respo_train.evaluation.drawn import Drawn, to_tensor
from respo_train.evaluation.figure import SAMPLES, Figure, nothing
from respo_train.evaluation.frechet import features
from respo_train.evaluation.seen import Looks, labels
from respo_train.judges.emoji_world import Judge
from respo_train.judges.segmenter import Segmenter

Vectors = NDArray[np.float64]  # one row a picture
Group = tuple[str, str]  # a profession and the gender that the judge sees
FEWEST = 5  # pictures of a group


def rows(options: Namespace) -> Iterator[Row]:
    """Yield how different the pictures of each method are, over the unmodified model's."""
    drawn = draw_each(options.images)
    judge, segmenter = examiners()
    groups = {name: groups_of(judge, own) for name, own in drawn.items()}
    known = {name: vectors(judge, segmenter, own) for name, own in drawn.items()}
    plain, plain_groups = known["unmodified"], groups["unmodified"]
    for name in ("module", "words"):
        own = known[name]
        yield name, {what: diversity(own[what], groups[name], plain[what], plain_groups) for what in own}


def draw_each(images: int) -> Mapping[str, list[Drawn]]:
    """Return the pictures of each method, profession by profession."""
    unet, attribute = bench_unet(), shipped_gender()
    found: dict[str, list[Drawn]] = {"unmodified": [], "module": [], "words": []}
    for ask in tqdm(photos(images, GENDERS, TRAINED), unit="profession"):
        wishes = [name for (name,) in ask.wishes()]
        key, nothing = ["diversity", ask.group], [None] * images
        found["unmodified"].append(ask.drawn(draw(unet, ask.prompt, key, nothing), [""] * images))
        modules = [attribute.concept(name) for name in wishes]
        found["module"].append(ask.drawn(draw(unet, ask.prompt, [*key, "steered"], modules)))
        for name in GENDERS:
            count = wishes.count(name)
            prompt = photo_of(f"{name} {ask.group}")
            drawn = draw(unet, prompt, [*key, name], nothing[:count])
            found["words"].append(Drawn(ask.group, prompt, drawn, (name,) * count))
    return found


def vectors(judge: Judge, segmenter: Segmenter, drawn: Sequence[Drawn]) -> Mapping[str, Vectors]:
    """Return what pictures are compared by, one row a picture."""
    return {
        "looks": features(judge, drawn),
        "skin tone": one_hot(judge, drawn, "skin"),
        "background": surroundings(segmenter, drawn),
    }


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


def groups_of(judge: Looks, drawn: Sequence[Drawn]) -> Mapping[Group, list[int]]:
    """Return the places of the pictures that show each gender, by group."""
    seen = [(one.group, label) for one in drawn for label in labels(judge, one, "gender")]
    found: dict[Group, list[int]] = {}
    for place, group in enumerate(seen):
        if group[1] in GENDERS:
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


OPTIONS = {"--images": pictures(24, fewest=2 * FEWEST)}

if __name__ == "__main__":
    sys.exit(run("diversity", __doc__, rows, OPTIONS))
