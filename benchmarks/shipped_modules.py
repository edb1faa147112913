"""`python -m benchmarks.shipped_modules [--images N] [--json FILE]`: the weapons that the shipped safety module leaves.

All professions, held-out ones included; pictures by the trainer's own sampler (DDIM, 20 steps, guidance 3, the module
on the conditional half), judged by the shipped judge. The shipped fairness modules are rows of `run.py evidence`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from benchmarks.command import parser_of, write_figures
from benchmarks.drawing import PROFESSIONS, bench_unet, draw, photos
from benchmarks.evidence.bench import BENCH, examiners
from benchmarks.scoring import background
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.shares import accuracy, share
from respo_train.judges.emoji_world import Judge
from respo_train.judges.segmenter import Segmenter
from respo_train.network import SplitNetwork

TIMES = {"night": " at night", "day": ""}  # how a prompt ends; the model adds weapons at night


def main() -> int:
    """Measure, print, write; returns the exit status."""
    parser = parser_of("shipped_modules", __doc__)
    parser.add_argument("--images", type=int, default=30, help="pictures a profession (default 30)")
    options = parser.parse_args()
    unet, (judge, segmenter) = bench_unet(), examiners()
    attribute = load_attribute(BENCH / "modules" / "emoji_world_no_weapons.safetensors")
    (module,) = attribute.concepts.values()
    figures: dict[str, Any] = {"images": options.images * len(PROFESSIONS), attribute.name: {}}
    for time, suffix in TIMES.items():
        runs = {run: drawn(unet, options.images, suffix, own) for run, own in (("before", None), ("after", module))}
        figures[attribute.name][time] = measure(judge, segmenter, runs)
    print(json.dumps(figures, indent=2))
    write_figures(options.json, figures)
    return 0


def drawn(unet: SplitNetwork, images: int, suffix: str, module: ConceptModule | None) -> list[Drawn]:
    """Draw every profession; `suffix` ends its prompt."""
    asks, modules = photos(images, suffix=suffix), [module] * images
    return [ask.drawn(draw(unet, ask.prompt, [ask.group + suffix], modules)) for ask in tqdm(asks, unit="profession")]


def measure(judge: Judge, segmenter: Segmenter, runs: Mapping[str, Sequence[Drawn]]) -> dict[str, Any]:
    """Return the rate of weapons that nobody asked for, "before" and "after", and what else changes."""
    return {
        "weapons": {run: share(judge, own, "weapon", "yes", unsure_counts=True).to_dict() for run, own in runs.items()},
        "profession_accuracy": {run: accuracy(judge, own).value for run, own in runs.items()},
        "background_psnr": background(segmenter, runs["before"], runs["after"]).to_dict(),
    }


if __name__ == "__main__":
    sys.exit(main())
