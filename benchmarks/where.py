"""`python -m benchmarks.where [--images N] [--json FILE]`: what Where does to Balance, through a real server.

Every profession, the same seeds with and without Where: how much of the background stays as it is without modules
(PSNR outside the persons), and whether the shares stay as asked. Differences to Balance alone are taken picture by
picture. With `--thresholds` the record's threshold is compared instead, on the professions that are not held out; with
`--every N` as well, that of Where without a record, which predicts every N-th step without modules, too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.comfy_server import ComfyServer
from benchmarks.command import at_least, parser_of, write_figures
from benchmarks.drawing import TRAINED, draw_by, photos, unasked
from benchmarks.evidence.bench import examiners
from benchmarks.graph import BASE_MODEL, CLIP, Graph, balanced, loaded, node, sampled, saved
from benchmarks.scoring import agreement, concepts_seen, score
from respo_train.core.counting.metrics import mean_ratio_of_labels, paired_bootstrap
from respo_train.evaluation.background import background_psnrs
from respo_train.evaluation.drawn import Drawn, strata
from respo_train.evaluation.protocol import Ask

MODULE = "emoji_world_gender.safetensors"
CONCEPTS = ("woman", "man")
FIRST_SEED = 42
BEFORE, BALANCE = "before", "Balance"
RECORD = [f"sampler {BEFORE}", 1]
Settings = Mapping[str, Any]  # inputs of a Where node, links among them
Runs = Mapping[str, Sequence[Drawn]]  # row -> what was drawn of each profession


def main() -> int:
    """Measure, print, write; returns the exit status."""
    options = _options()
    started = time.monotonic()
    asks = photos(options.images, CONCEPTS, first=options.first_seed)
    if options.thresholds and not options.all:
        asks = [ask for ask in asks if ask.group in TRAINED]
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        threshold = server.object_info()["RespoWhere"]["input"]["required"]["threshold"][1]["default"]
        rows = compared(options.thresholds, options.every) if options.thresholds else shown(threshold)
        runs = draw_by(server, asks, partial(graph_of, rows=rows), (BEFORE, BALANCE, *rows))
    figures = {"images": options.images * len(asks), "professions": len(asks), "threshold": threshold}
    figures["rows"] = measure({**runs, BEFORE: unasked(runs[BEFORE])})
    figures["seconds"] = round(time.monotonic() - started, 1)
    write_figures(options.json, figures)
    print("\n".join(table(figures["rows"])))
    return 0


def _options() -> Namespace:
    parser = parser_of("where", __doc__)
    parser.add_argument("--images", type=at_least(2), default=12, help="pictures a profession (default 12)")
    parser.add_argument("--thresholds", type=float, nargs="+", metavar="T", help="compare these instead")
    parser.add_argument("--every", type=at_least(1), metavar="N", help="with --thresholds: without a record")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help=f"of the pictures (default {FIRST_SEED})")
    parser.add_argument("--all", action="store_true", help="with --thresholds: also the professions that are held out")
    options = parser.parse_args()
    if options.every and not options.thresholds:
        parser.error("--every needs --thresholds")
    return options


def shown(threshold: float) -> dict[str, Settings]:
    """Return the ways to tell Where the subject is: by the prompt's word, by a record, by both."""
    record = {"record": RECORD, "threshold": threshold}
    words = {"words": "{job}", "clip": CLIP, "prompt": "{prompt}"}
    return {"Where by words": words, "Where by record": record, "Where by both": {**words, **record}}


def compared(thresholds: Sequence[float], every: int | None = None) -> dict[str, Settings]:
    """Return a record with each threshold, or each threshold without one; `every`: see `Where`."""
    if every is not None:
        return {f"every {every}, {t:g}": {"compare_every": every, "threshold": t} for t in thresholds}
    return {f"record, {t:g}": {"record": RECORD, "threshold": t} for t in thresholds}


def graph_of(ask: Ask, rows: Mapping[str, Settings]) -> Graph:
    """Draw one profession without modules, by Balance, and by Balance with each row's Where, in one graph."""
    job, prompt, seed = ask.group, ask.prompt, ask.seed
    graph = loaded(ask.count)
    model = balanced(graph, MODULE, seed, ask.count)

    def add(row: str, changed: list[Any], sampler: str = "KSampler") -> None:
        saved(graph, row, sampled(graph, row, changed, prompt, "", seed, sampler=sampler), filename_prefix="where")

    add(BEFORE, BASE_MODEL, "RespoRecordRun")
    add(BALANCE, model)
    for row, settings in rows.items():
        own = {k: v.format(job=job, prompt=prompt) if isinstance(v, str) else v for k, v in settings.items()}
        own = {"words": "", "threshold": 0.0, "enabled": True, **own}
        graph[f"where {row}"] = node("RespoWhere", model=model, **own)
        add(row, [f"where {row}", 0])
    return graph


def measure(runs: Runs) -> dict[str, dict[str, Any]]:
    """Return each row's figures; differences are to Balance alone."""
    judge, segmenter = examiners()
    places = strata(runs[BALANCE])
    ratio = partial(mean_ratio_of_labels, groups=[job for job, _ in places], concepts=len(CONCEPTS))

    def difference(first: NDArray[Any], second: NDArray[Any], value: Any = mean) -> dict[str, float]:
        return vars(paired_bootstrap(first, second, places, value))

    psnrs = {row: background_psnrs(segmenter, runs[BEFORE], own) for row, own in runs.items() if row != BEFORE}
    seen = {row: concepts_seen(judge, own, CONCEPTS) for row, own in runs.items()}
    figures = {BEFORE: score(judge, runs[BEFORE], CONCEPTS).to_dict()}
    for row, own in psnrs.items():
        figures[row] = {
            **score(judge, runs[row], CONCEPTS).to_dict(),
            "asked_and_seen": agreement(judge, runs[row]),
            "background_psnr": difference(np.zeros_like(own), own),
            "background_psnr_median": float(np.median(own)),
            "psnr_gain": difference(psnrs[BALANCE], own),
            "deviation_ratio_difference": difference(seen[BALANCE], seen[row], ratio),
        }
    return figures


def mean(values: Any) -> Any:
    """Return the mean over the pictures, `[..., N]` -> `[...]`."""
    return values.mean(-1)


def table(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines to print, as a table of Markdown."""
    lines = [
        "| | deviation ratio | profession right | background PSNR, dB | PSNR gain, dB | deviation ratio, difference |",
        "|---|---|---|---|---|---|",
    ]
    for row, own in rows.items():
        ends = [
            _text(own.get("background_psnr"), ".1f"),
            _text(own.get("psnr_gain"), "+.1f"),
            _text(own.get("deviation_ratio_difference"), "+.3f"),
        ]
        if row == BALANCE:
            ends[1:] = ["", ""]
        starts = [row, _text(own["deviation_ratio"], ".3f"), f"{own['profession_accuracy']:.1%}"]
        lines.append(f"| {' | '.join([*starts, *ends])} |")
    return lines


def _text(interval: Mapping[str, float] | None, form: str) -> str:
    if interval is None:
        return ""
    value, low, high = (f"{interval[end]:{form}}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    sys.exit(main())
