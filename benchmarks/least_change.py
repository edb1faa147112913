"""`python -m benchmarks.least_change [--images N]`: who stays if only those who have to change are steered.

Every profession is drawn three times from the same seeds: as it is, as a woman, as a man (the shipped gender module,
DDIM, 20 steps, guidance 3). Both assignments choose from these pictures: Balance's, which steers everybody, and the
one of Assign Labels, which steers only those whom the judge saw otherwise than their label. So both have the same
noise, and a picture that is not steered is the model's own.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from benchmarks.command import Row, pictures, run
from benchmarks.drawing import bench_unet, draw_all, photos, shipped_gender, unasked
from benchmarks.evidence.bench import examiners
from benchmarks.scoring import agreement, score
from emoji_world.world import GENDERS
from respo_train.core.counting.least_change import least_change
from respo_train.evaluation.background import background_psnr_of_mean, identical
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.seen import labels

Labels = Sequence[Sequence[str]]  # of each profession's pictures


def rows(options: Namespace) -> Iterator[Row]:
    """Yield the figures of both assignments."""
    asks, unet, attribute = photos(options.images, GENDERS), bench_unet(), shipped_gender()
    modules = {"": None, **attribute.concepts}
    drawn = {
        name: draw_all(unet, asks, ["least change"], dict.fromkeys(GENDERS, module)) for name, module in modules.items()
    }
    judge, segmenter = examiners()
    before = drawn[""]
    seen = [labels(judge, one, "gender") for one in before]
    equal = {name: Fraction(1, len(GENDERS)) for name in GENDERS}
    assigned: Mapping[str, tuple[Labels, Labels]] = {
        "everybody is steered": ([one.asked for one in before], [[""] * len(own) for own in seen]),
        "least change": ([least_change(own, equal, ask.seed) for own, ask in zip(seen, asks, strict=True)], seen),
    }
    for name, (wanted, stay) in assigned.items():
        after = chosen(drawn, wanted, stay)
        figures = {
            **score(judge, after),
            "asked_and_seen": agreement(judge, after),
            "untouched": identical(before, after),
            "background_psnr_of_mean_error": background_psnr_of_mean(segmenter, before, unasked(after)),
        }
        yield name, figures
    yield "most that could stay", {"share": most_kept(seen)}


def chosen(drawn: Mapping[str, Sequence[Drawn]], wanted: Labels, stay: Labels) -> list[Drawn]:
    """Return the steered picture of each label, and the model's own where `stay` has the same label."""
    found = []
    for place, (given, own) in enumerate(zip(wanted, stay, strict=True)):
        sources = ["" if now == name else name for name, now in zip(given, own, strict=True)]
        pictures = np.stack([drawn[source][place].images[index] for index, source in enumerate(sources)])
        first = drawn[""][place]
        found.append(Drawn(first.group, first.prompt, pictures, tuple(given), first.held_out))
    return found


def most_kept(seen: Labels) -> float:
    """Return the largest share of pictures that can stay where every profession gets as many of each concept."""
    kept = sum(sum(min(Counter(own)[name], len(own) // 2) for name in GENDERS) for own in seen)
    return kept / sum(map(len, seen))


OPTIONS = {"--images": pictures(24, fewest=2)}

if __name__ == "__main__":
    sys.exit(run("least_change", __doc__, rows, OPTIONS))
