"""`python -m benchmarks.diversity [--images N]`: how different the pictures within a group are from each other.

The professions that are not held out, as the model draws them, by the shipped gender module (each picture one concept,
as Balance assigns it) and by prompts that name it ("a photo of a woman doctor"): DDIM, 20 steps, guidance 3, other
seeds than those of the unmodified pictures. For each concept of each profession, the mean distance of every two
pictures over that of the unmodified model's own: in the judge's features, in skin tone (how often two differ), and in
the background's mean colour. Below 1 a method draws people who are more alike than the model's.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence

from tqdm import tqdm

from benchmarks.command import Row, pictures, run
from benchmarks.drawing import TRAINED, bench_unet, draw, photo_of, photos, shipped_gender
from benchmarks.evidence.bench import examiners
from emoji_world.world import GENDERS
from respo_train.evaluation.diversity import FEWEST, Vectors, diversity, groups_of, one_hot, surroundings
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.frechet import features
from respo_train.judges.emoji_world import Judge
from respo_train.judges.segmenter import Segmenter


def rows(options: Namespace) -> Iterator[Row]:
    """Yield how different the pictures of each method are, over the unmodified model's."""
    drawn = draw_each(options.images)
    judge, segmenter = examiners()
    groups = {name: groups_of(judge, own, "gender", GENDERS) for name, own in drawn.items()}
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


OPTIONS = {"--images": pictures(24, fewest=2 * FEWEST)}

if __name__ == "__main__":
    sys.exit(run("diversity", __doc__, rows, OPTIONS))
