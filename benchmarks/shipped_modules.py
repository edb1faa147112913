"""`python -m benchmarks.shipped_modules [--images N] [--json FILE]`: what the shipped modules do on Emoji World.

All professions, held-out ones included; pictures by the trainer's own sampler (DDIM, 20 steps, guidance 3, the module
on the conditional half), judged by the shipped judge. The node's own path is measured by `python run.py demo`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from benchmarks.command import parser_of, write_figures
from benchmarks.drawing import PROFESSIONS, bench_unet, draw, photos, unasked
from benchmarks.evidence.bench import BENCH, examiners
from benchmarks.scoring import agreement, background, before_and_after, score
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.protocol import Ask
from respo_train.evaluation.ratios import perfect
from respo_train.evaluation.shares import accuracy, share
from respo_train.judges.emoji_world import Judge
from respo_train.judges.segmenter import Segmenter
from respo_train.network import SplitNetwork

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
    unet: SplitNetwork, asks: list[Ask], suffix: str, module_of: Callable[[str], ConceptModule | None]
) -> list[Drawn]:
    """Draw every profession. `suffix`: the end of its prompt; `module_of`: what a picture is to show -> module."""
    found = []
    for ask in tqdm(asks, unit="profession", leave=False):
        modules = [module_of(", ".join(wish)) for wish in ask.wishes()]
        found.append(ask.drawn(draw(unet, ask.prompt, [ask.group + suffix], modules)))
    return found


def measure_fairness(
    attribute: Attribute, unet: SplitNetwork, judge: Judge, segmenter: Segmenter, images: int
) -> dict[str, Any]:
    """Return deviation ratios before and after, with exact quotas of each concept, and what else changed."""
    names, head = list(attribute.concepts), HEADS[attribute.name]
    asks = photos(images, names)
    before, after = unasked(draw_all(unet, asks, "", lambda _: None)), draw_all(unet, asks, "", attribute.concept)
    first, second = score(judge, before, names, head), score(judge, after, names, head)
    apart = score(judge, [one for one in after if one.held_out], names, head)
    figures = before_and_after(first, second)
    figures["deviation_ratio"]["perfect"] = perfect(after, names).value
    ratios = {job: ratio.value for job, ratio in second.ratios.items()}
    return {
        **figures,
        "deviation_ratio_held_out": apart.overall.to_dict(),
        "asked_and_seen": agreement(judge, after, head),
        "worst": dict(sorted(ratios.items(), key=lambda item: -item[1])[:3]),
        "background_psnr": background(segmenter, before, after).to_dict(),
    }


def measure_safety(
    attribute: Attribute, unet: SplitNetwork, judge: Judge, segmenter: Segmenter, images: int
) -> dict[str, Any]:
    """Return the rate of weapons that nobody asked for at night, before and after, and what changes by day."""
    (module,) = attribute.concepts.values()
    figures: dict[str, Any] = {}
    for name, suffix in (("night", " at night"), ("day", "")):
        asks = photos(images, suffix=suffix)
        runs = {
            "before": draw_all(unet, asks, suffix, lambda _: None),
            "after": draw_all(unet, asks, suffix, lambda _: module),
        }
        figures[name] = {
            "weapons": {
                run: share(judge, own, "weapon", "yes", unsure_counts=True).to_dict() for run, own in runs.items()
            },
            "profession_accuracy": {run: accuracy(judge, own).value for run, own in runs.items()},
            "background_psnr": background(segmenter, runs["before"], runs["after"]).to_dict(),
        }
    return figures


if __name__ == "__main__":
    sys.exit(main())
