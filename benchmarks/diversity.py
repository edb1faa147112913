"""`python -m benchmarks.diversity [--images N]`: how different the pictures within a group are from each other.

The professions that are not held out, as the model draws them, by the shipped gender module (each picture one concept,
as Balance assigns it) and by prompts that name it ("a photo of a woman doctor"): DDIM, 20 steps, guidance 3, other
seeds than those of the unmodified pictures. For each concept of each profession, the mean distance of every two
pictures over that of the unmodified model's own: in the judge's features, in skin tone (how often two differ), and in
the background's mean colour. Below 1 a method draws people who are more alike than the model's.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from benchmarks.command import at_least, parser_of, write_figures
from benchmarks.drawing import TRAINED, bench_unet, draw, photo_of, photos
from benchmarks.evidence.bench import BENCH, examiners
from emoji_world import world
from respo_train.core.files.checkpoint import load_attribute
from respo_train.evaluation.diversity import FEWEST, Vectors, diversity, groups_of, one_hot, surroundings
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.frechet import features
from respo_train.judges.emoji_world import Judge
from respo_train.judges.segmenter import Segmenter


def main() -> int:
    """Draw, compare, print; returns the exit status."""
    parser = parser_of("diversity", __doc__)
    parser.add_argument("--images", type=at_least(2 * FEWEST), default=24, help="pictures a profession (default 24)")
    options = parser.parse_args()
    drawn = draw_all(options.images)
    judge, segmenter = examiners()
    groups = {name: groups_of(judge, own, "gender", world.GENDERS) for name, own in drawn.items()}
    rows = {name: vectors(judge, segmenter, own) for name, own in drawn.items()}
    figures: dict[str, Any] = {"images": options.images * len(TRAINED)}
    for name in ("module", "words"):
        figures[name] = {
            what: diversity(own, groups[name], rows["unmodified"][what], groups["unmodified"]).to_dict()
            for what, own in rows[name].items()
        }
        print(name, figures[name], flush=True)
    write_figures(options.json, figures)
    return 0


def draw_all(images: int) -> Mapping[str, list[Drawn]]:
    """Return the pictures of each method, profession by profession."""
    unet = bench_unet()
    attribute = load_attribute(BENCH / "modules" / "emoji_world_gender.safetensors")
    found: dict[str, list[Drawn]] = {"unmodified": [], "module": [], "words": []}
    for ask in tqdm(photos(images, world.GENDERS, TRAINED), unit="profession"):
        wishes = [name for (name,) in ask.wishes()]
        key, nothing = ["diversity", ask.group], [None] * images
        found["unmodified"].append(ask.drawn(draw(unet, ask.prompt, key, nothing), [""] * images))
        modules = [attribute.concept(name) for name in wishes]
        found["module"].append(ask.drawn(draw(unet, ask.prompt, [*key, "steered"], modules)))
        for name in world.GENDERS:
            count = wishes.count(name)
            prompt = photo_of(f"{name} {ask.group}")
            pictures = draw(unet, prompt, [*key, name], nothing[:count])
            found["words"].append(Drawn(ask.group, prompt, pictures, (name,) * count))
    return found


def vectors(judge: Judge, segmenter: Segmenter, drawn: Sequence[Drawn]) -> Mapping[str, Vectors]:
    """Return what pictures are compared by, one row a picture."""
    return {
        "looks": features(judge, drawn),
        "skin tone": one_hot(judge, drawn, "skin"),
        "background": surroundings(segmenter, drawn),
    }


if __name__ == "__main__":
    sys.exit(main())
