"""`python -m benchmarks.where [--images N] [--json FILE]`: what Where does to Balance, through a real server.

Every profession, the same seeds with and without Where: how much of the background stays as it is without modules
(PSNR outside the persons), and whether the shares stay as asked. Differences to Balance alone are taken picture by
picture. With `--thresholds` the record's threshold is compared instead, on the professions that are not held out.
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
from tqdm import tqdm

from benchmarks.comfy_server import ComfyServer
from benchmarks.command import at_least, parser_of, write_figures
from benchmarks.demo.scoring import Pictures, agreement, background_psnrs, score, to_tensor
from benchmarks.drawing import PROFESSIONS, TRAINED, equal_quotas, photo_of, pictures_of, seeds_of
from benchmarks.evidence.bench import examiners
from benchmarks.graph import BASE_MODEL, CLIP, Graph, balanced, loaded, node, sampled, saved
from respo_train.core.counting.metrics import Interval, mean_ratio_of_labels, paired_bootstrap
from respo_train.judges.emoji_world import Judge
from respo_train.judges.segmenter import Segmenter

MODULE = "emoji_world_gender.safetensors"
CONCEPTS = ("woman", "man")
FIRST_SEED = 42
BEFORE, BALANCE = "before", "Balance"
RECORD = [f"sampler {BEFORE}", 1]
Settings = Mapping[str, Any]  # inputs of a Where node, links among them
Runs = dict[str, dict[str, Pictures]]  # row -> profession -> pictures


def main() -> int:
    """Measure, print, write; returns the exit status."""
    options = _options()
    started = time.monotonic()
    seeds = seeds_of(PROFESSIONS, FIRST_SEED)
    if options.thresholds:
        seeds = {job: seeds[job] for job in TRAINED}
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        threshold = server.object_info()["RespoWhere"]["input"]["required"]["threshold"][1]["default"]
        rows = compared(options.thresholds) if options.thresholds else shown(threshold)
        runs = draw(server, seeds, options.images, rows)
    figures = {"images": options.images * len(seeds), "professions": len(seeds), "threshold": threshold}
    figures["rows"] = measure(runs, equal_quotas(seeds, options.images, CONCEPTS))
    figures["seconds"] = round(time.monotonic() - started, 1)
    write_figures(options.json, figures)
    print("\n".join(table(figures["rows"])))
    return 0


def _options() -> Namespace:
    parser = parser_of("where", __doc__)
    parser.add_argument("--images", type=at_least(2), default=12, help="pictures a profession (default 12)")
    parser.add_argument("--thresholds", type=float, nargs="+", metavar="T", help="compare these instead")
    return parser.parse_args()


def shown(threshold: float) -> dict[str, Settings]:
    """Return the ways to tell Where the subject is: by the prompt's word, by a record, by both."""
    record = {"record": RECORD, "threshold": threshold}
    words = {"words": "{job}", "clip": CLIP, "prompt": "{prompt}"}
    return {"Where by words": words, "Where by record": record, "Where by both": {**words, **record}}


def compared(thresholds: Sequence[float]) -> dict[str, Settings]:
    """Return a record with each threshold."""
    return {f"record, {t:g}": {"record": RECORD, "threshold": t} for t in thresholds}


def graph_of(job: str, seed: int, count: int, rows: Mapping[str, Settings]) -> Graph:
    """Draw one profession without modules, by Balance, and by Balance with each row's Where, in one graph."""
    prompt = photo_of(job)
    graph = loaded(count)
    model = balanced(graph, MODULE, seed, count)

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


def draw(server: ComfyServer, seeds: Mapping[str, int], count: int, rows: Mapping[str, Settings]) -> Runs:
    """Draw every row of every profession."""
    runs: Runs = {row: {} for row in (BEFORE, BALANCE, *rows)}
    for job, seed in tqdm(seeds.items(), unit="profession"):
        entry = server.run(graph_of(job, seed, count, rows))
        for row in runs:
            runs[row][job] = pictures_of(server, entry, row)
    return runs


def measure(runs: Runs, labels: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Return each row's figures; `labels`: what each profession's pictures were asked to show."""
    judge, segmenter = examiners()
    groups = [job for job, wishes in labels.items() for _ in wishes]
    strata = [(job, wish) for job, wishes in labels.items() for wish in wishes]
    ratio = partial(mean_ratio_of_labels, groups=groups, concepts=len(CONCEPTS))
    base_sound, base_seen = psnrs(segmenter, runs, BALANCE), seen(judge, runs[BALANCE])
    figures = {}
    for row, pictures in runs.items():
        found = score(judge, pictures, CONCEPTS, None if row == BEFORE else labels)
        own: dict[str, Any] = {
            "deviation_ratio": vars(found.overall),
            "profession_accuracy": found.profession_accuracy,
            "unsure": found.unsure,
        }
        if row != BEFORE:
            sound, own_seen = psnrs(segmenter, runs, row), seen(judge, pictures)
            own["asked_and_seen"] = agreement(judge, pictures, labels)
            own["background_psnr"] = vars(paired_bootstrap(np.zeros_like(sound), sound, strata, mean))
            own["background_psnr_median"] = float(np.median(sound))
            own["psnr_gain"] = vars(paired_bootstrap(base_sound, sound, strata, mean))
            own["deviation_ratio_difference"] = vars(paired_bootstrap(base_seen, own_seen, strata, ratio))
        figures[row] = own
    return figures


def mean(values: Any) -> Any:
    """Return the mean over the pictures, `[..., N]` -> `[...]`."""
    return values.mean(-1)


def psnrs(segmenter: Segmenter, runs: Runs, row: str) -> Any:
    """Return each picture's background PSNR against the one without modules, in dB, `[N]`."""
    return np.concatenate(list(background_psnrs(segmenter, runs[BEFORE], runs[row]).values()))


def seen(judge: Judge, pictures: Mapping[str, Pictures]) -> Any:
    """Return which concept each picture shows, `[N]`; -1: unsure."""
    verdicts = [label for own in pictures.values() for label in judge.verdicts(to_tensor(own))["gender"].labels]
    return np.array([CONCEPTS.index(label) if label in CONCEPTS else -1 for label in verdicts])


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
    found = Interval(**interval)
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


if __name__ == "__main__":
    sys.exit(main())
