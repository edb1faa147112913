"""`python -m benchmarks.least_change [--images N]`: who stays when only those are steered who have to change.

Every profession is drawn three times from the same seeds: as it is, as a woman, as a man (the shipped gender module,
DDIM, 20 steps, guidance 3). Both assignments choose from these pictures: Balance's, which steers everybody, and the
one of Assign Labels, which steers only those whom the judge saw otherwise than their label. So both have the same
noise, and a picture that is not steered is the model's own.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.command import at_least, parser_of, write_figures
from benchmarks.drawing import bench_unet, draw, photos
from benchmarks.evidence.bench import BENCH, examiners
from benchmarks.scoring import agreement, score
from emoji_world import world
from respo_train.core.counting.least_change import least_change
from respo_train.core.files.checkpoint import load_attribute
from respo_train.evaluation.background import background_psnr_of_mean, identical
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.protocol import Ask
from respo_train.evaluation.seen import labels

CONCEPTS = world.GENDERS
EQUAL = {name: Fraction(1, len(CONCEPTS)) for name in CONCEPTS}


def main() -> int:
    """Draw, assign in both ways, measure, print; returns the exit status."""
    parser = parser_of("least_change", __doc__)
    parser.add_argument("--images", type=at_least(2), default=24, help="pictures a profession (default 24)")
    options = parser.parse_args()
    asks = photos(options.images, CONCEPTS)
    drawn = draw_each(asks)
    judge, segmenter = examiners()
    before = drawn[""]
    seen = [labels(judge, one, "gender") for one in before]
    wanted = {
        "everybody is steered": [[name for (name,) in ask.wishes()] for ask in asks],
        "least change": [least_change(own, EQUAL, ask.seed) for own, ask in zip(seen, asks, strict=True)],
    }
    figures: dict[str, Any] = {"images": options.images * len(asks), "most that could stay": most_kept(seen)}
    for name, given in wanted.items():
        stay = seen if name == "least change" else [[""] * len(own) for own in seen]
        after = chosen(drawn, given, stay)
        figures[name] = measure(judge, segmenter, before, after)
        print(name, figures[name], flush=True)
    print("most that could stay:", figures["most that could stay"])
    write_figures(options.json, figures)
    return 0


def draw_each(asks: Sequence[Ask]) -> Mapping[str, list[Drawn]]:
    """Draw every prompt as it is ("") and with each concept, from the same noise."""
    unet = bench_unet()
    attribute = load_attribute(BENCH / "modules" / "emoji_world_gender.safetensors")
    modules = {"": None} | {name: attribute.concept(name) for name in CONCEPTS}
    drawn: dict[str, list[Drawn]] = {name: [] for name in modules}
    for ask, (name, module) in tqdm([(ask, entry) for ask in asks for entry in modules.items()]):
        pictures = draw(unet, ask.prompt, ["least change", ask.prompt], [module] * ask.count)
        drawn[name].append(ask.drawn(pictures))
    return drawn


def chosen(
    drawn: Mapping[str, Sequence[Drawn]], wanted: Sequence[Sequence[str]], stay: Sequence[Sequence[str]]
) -> list[Drawn]:
    """Return the steered picture of each label, and the model's own where `stay` has the same label."""
    found = []
    for place, (given, own) in enumerate(zip(wanted, stay, strict=True)):
        sources = ["" if now == name else name for name, now in zip(given, own, strict=True)]
        pictures = np.stack([drawn[source][place].images[index] for index, source in enumerate(sources)])
        first = drawn[""][place]
        found.append(Drawn(first.group, first.prompt, pictures, tuple(given), first.held_out))
    return found


def most_kept(seen: Sequence[Sequence[str]]) -> float:
    """Return the largest share of pictures that can stay where every profession gets as many of each concept."""
    kept = sum(sum(min(Counter(own)[name], len(own) // 2) for name in CONCEPTS) for own in seen)
    return kept / sum(map(len, seen))


def measure(judge: Any, segmenter: Any, before: Sequence[Drawn], after: Sequence[Drawn]) -> dict[str, Any]:
    """Return the figures of one assignment, for JSON."""
    plain = [one.asking([""] * len(one.images)) for one in after]
    return {
        **score(judge, after, CONCEPTS).to_dict(),
        "asked_and_seen": agreement(judge, after),
        "untouched": identical(before, after).to_dict(),
        "background_psnr_of_mean_error": background_psnr_of_mean(segmenter, before, plain).to_dict(),
    }


if __name__ == "__main__":
    sys.exit(main())
