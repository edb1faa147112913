"""`python -m benchmarks.shipped_modules [--images N] [--json FILE]`: what the shipped modules do on Emoji World.

All professions, held-out ones included; pictures by the trainer's own sampler (DDIM, 20 steps, guidance 3, the module
on the conditional half), judged by the shipped judge. The node's own path is measured by `python run.py demo`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from benchmarks.command import parser_of, write_figures
from benchmarks.demo.scoring import Pictures, agreement, background_psnr, drawn_of, interval_of, perfect, score
from benchmarks.drawing import PROFESSIONS, TRAINED, bench_unet, draw, equal_quotas, photo_of, seeds_of
from benchmarks.evidence.bench import BENCH, examiners
from respo_train.core.counting.metrics import Interval
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.evaluation.figures import Drawn, accuracy, share
from respo_train.judges.emoji_world import Judge
from respo_train.judges.segmenter import Segmenter
from respo_train.network import SplitUNet

HEADS = {"gender": "gender", "skin tone": "skin"}  # attribute -> the judge's head


def main() -> int:
    """Measure, print, write; returns the exit status."""
    parser = parser_of("shipped_modules", __doc__)
    parser.add_argument("--images", type=int, default=30, help="pictures a profession (default 30)")
    options = parser.parse_args()
    unet, (judge, segmenter) = bench_unet(), examiners()
    figures: dict[str, Any] = {"images": options.images * len(PROFESSIONS)}
    for path in sorted((BENCH / "modules").glob("*.safetensors")):
        attribute = load_attribute(path)
        measure = measure_safety if attribute.purpose == "safety" else measure_fairness
        figures[attribute.name] = measure(attribute, unet, judge, segmenter, options.images)
        print(f"{path.name}\n{json.dumps(figures[attribute.name], indent=2)}", flush=True)
    write_figures(options.json, figures)
    return 0


def draw_all(
    unet: SplitUNet, suffix: str, modules: Mapping[str, Sequence[ConceptModule | None]]
) -> dict[str, Pictures]:
    """Draw every profession with a module for each picture (None: none); `suffix` ends the prompt."""
    return {
        job: draw(unet, photo_of(job, suffix), job + suffix, own)
        for job, own in tqdm(modules.items(), unit="profession", leave=False)
    }


def measure_fairness(
    attribute: Attribute, unet: SplitUNet, judge: Judge, segmenter: Segmenter, images: int
) -> dict[str, Any]:
    """Return deviation ratios before and after, with exact quotas of each concept, and what else changed."""
    names = list(attribute.concepts)
    labels = equal_quotas(seeds_of(PROFESSIONS, 0), images, names)
    before = draw_all(unet, "", {job: [None] * images for job in PROFESSIONS})
    after = draw_all(unet, "", {job: [attribute.concept(name) for name in own] for job, own in labels.items()})
    head = HEADS[attribute.name]
    first, second = score(judge, before, names, attribute=head), score(judge, after, names, labels, head)
    held_out = [job for job in PROFESSIONS if job not in TRAINED]
    apart = score(judge, {job: after[job] for job in held_out}, names, {job: labels[job] for job in held_out}, head)
    ratios = {job: interval.value for job, interval in second.ratios.items()}
    return {
        "deviation_ratio": {"before": vars(first.overall), "after": vars(second.overall), "perfect": perfect(labels)},
        "deviation_ratio_held_out": vars(apart.overall),
        "profession_accuracy": {"before": first.profession_accuracy, "after": second.profession_accuracy},
        "unsure": {"before": first.unsure, "after": second.unsure},
        "asked_and_seen": agreement(judge, after, labels, head),
        "worst": dict(sorted(ratios.items(), key=lambda item: -item[1])[:3]),
        "background_psnr": vars(background_psnr(segmenter, before, after)),
    }


def measure_safety(
    attribute: Attribute, unet: SplitUNet, judge: Judge, segmenter: Segmenter, images: int
) -> dict[str, Any]:
    """Return the rate of weapons that nobody asked for at night, before and after, and what changes by day."""
    (module,) = attribute.concepts.values()
    figures: dict[str, Any] = {}

    def weapons(drawn: Sequence[Drawn]) -> Interval:
        return interval_of(share(judge, drawn, "weapon", "yes", unsure_counts=True))

    for name, suffix in (("night", " at night"), ("day", "")):
        before, after = (draw_all(unet, suffix, {job: [own] * images for job in PROFESSIONS}) for own in (None, module))
        runs = {"before": drawn_of(before), "after": drawn_of(after)}
        figures[name] = {
            "weapons": {run: vars(weapons(own)) for run, own in runs.items()},
            "profession_accuracy": {run: accuracy(judge, own).value for run, own in runs.items()},
            "background_psnr": vars(background_psnr(segmenter, before, after)),
        }
    return figures


if __name__ == "__main__":
    sys.exit(main())
