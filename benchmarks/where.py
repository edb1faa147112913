"""`python -m benchmarks.where [--images N] [--json FILE]`: what Where does to Balance, through a real server.

Every profession, the same seeds with and without Where: how much of the background stays as it is without modules
(PSNR outside the persons), and whether the shares stay as asked. Differences to Balance alone are taken picture by
picture. With `--thresholds` the record's threshold is compared instead, on the professions that are not held out; with
`--every N` as well, that of Where without a record, which predicts every N-th step without modules, too.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.comfy_server import ComfyServer
from benchmarks.command import Row, pictures, run, whole
from benchmarks.drawing import GENDER, TRAINED, draw_by, photos, unasked
from benchmarks.evidence.bench import examiners
from benchmarks.graph import BASE_MODEL, CLIP, Graph, balanced, loaded, node, sampled, saved
from benchmarks.scoring import agreement, score
from emoji_world.world import GENDERS
from respo_train.core.counting.metrics import mean_ratio_of_labels, paired_bootstrap
from respo_train.core.errors import RespoError
from respo_train.evaluation.background import background_psnrs
from respo_train.evaluation.drawn import Drawn, strata
from respo_train.evaluation.protocol import Ask
from respo_train.evaluation.seen import Looks, labels

FIRST_SEED = 42
BEFORE, BALANCE = "before", "Balance"
RECORD = [f"sampler {BEFORE}", 1]
Settings = Mapping[str, Any]  # inputs of a Where node, links among them
Runs = Mapping[str, Sequence[Drawn]]  # row -> what was drawn of each profession


def rows(options: Namespace) -> Iterator[Row]:
    """Yield the figures of the model as it is, of Balance, and of each Where."""
    if options.every and not options.thresholds:
        raise RespoError("--every needs --thresholds")
    asks = photos(options.images, GENDERS, first=options.first_seed)
    if options.thresholds and not options.all:
        asks = [ask for ask in asks if ask.group in TRAINED]
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        threshold = server.object_info()["RespoWhere"]["input"]["required"]["threshold"][1]["default"]
        wheres = thresholds(options.thresholds, options.every) if options.thresholds else ways(threshold)
        runs = draw_by(server, asks, partial(graph_of, wheres=wheres), (BEFORE, BALANCE, *wheres))
    yield from measured({**runs, BEFORE: unasked(runs[BEFORE])})


def ways(threshold: float) -> dict[str, Settings]:
    """Return the ways to tell Where the subject is: by the prompt's word, by a record, by both."""
    record = {"record": RECORD, "threshold": threshold}
    words = {"words": "{job}", "clip": CLIP, "prompt": "{prompt}"}
    return {"Where by words": words, "Where by record": record, "Where by both": {**words, **record}}


def thresholds(values: Sequence[float], every: int | None = None) -> dict[str, Settings]:
    """Return a record with each threshold, or each threshold without one; `every`: see `Where`."""
    if every is not None:
        return {f"every {every}, {t:g}": {"compare_every": every, "threshold": t} for t in values}
    return {f"record, {t:g}": {"record": RECORD, "threshold": t} for t in values}


def graph_of(ask: Ask, wheres: Mapping[str, Settings]) -> Graph:
    """Draw one profession without modules, by Balance, and by Balance with each row's Where, in one graph."""
    job, prompt, seed = ask.group, ask.prompt, ask.seed
    graph = loaded(ask.count)
    model = balanced(graph, GENDER, seed, ask.count)

    def add(row: str, changed: list[Any], sampler: str = "KSampler") -> None:
        saved(graph, row, sampled(graph, row, changed, prompt, "", seed, sampler=sampler), filename_prefix="where")

    add(BEFORE, BASE_MODEL, "RespoRecordRun")
    add(BALANCE, model)
    for where, settings in wheres.items():
        own = {k: v.format(job=job, prompt=prompt) if isinstance(v, str) else v for k, v in settings.items()}
        own = {"words": "", "threshold": 0.0, "enabled": True, **own}
        graph[f"where {where}"] = node("RespoWhere", model=model, **own)
        add(where, [f"where {where}", 0])
    return graph


def measured(runs: Runs) -> Iterator[Row]:
    """Yield each row's figures; differences are to Balance alone, picture by picture."""
    judge, segmenter = examiners()
    places = strata(runs[BALANCE])
    ratio = partial(mean_ratio_of_labels, groups=[job for job, _ in places], concepts=len(GENDERS))
    mean: Any = partial(np.mean, axis=-1)
    psnrs = {row: background_psnrs(segmenter, runs[BEFORE], own) for row, own in runs.items() if row != BEFORE}
    seen = {row: concepts_seen(judge, own) for row, own in runs.items()}
    yield BEFORE, score(judge, runs[BEFORE])
    for row, own in psnrs.items():
        figures = {
            **score(judge, runs[row]),
            "asked_and_seen": agreement(judge, runs[row]),
            "background_psnr": paired_bootstrap(np.zeros_like(own), own, places, mean),
            "background_psnr_median": float(np.median(own)),
        }
        if row != BALANCE:
            figures["psnr_gain"] = paired_bootstrap(psnrs[BALANCE], own, places, mean)
            figures["deviation_ratio_difference"] = paired_bootstrap(seen[BALANCE], seen[row], places, ratio)
        yield row, figures


def concepts_seen(judge: Looks, own: Sequence[Drawn]) -> NDArray[np.int64]:
    """Return the number of the concept that each picture shows, `[N]`; -1: unsure."""
    seen = [label for one in own for label in labels(judge, one, "gender")]
    return np.array([GENDERS.index(label) if label in GENDERS else -1 for label in seen])


OPTIONS = {
    "--images": pictures(12, fewest=2),
    "--thresholds": {"type": float, "nargs": "+", "metavar": "T", "help": "compare these instead"},
    "--every": whole("with --thresholds: without a record", None, 1),
    "--first-seed": {"type": int, "default": FIRST_SEED, "help": f"of the pictures (default {FIRST_SEED})"},
    "--all": {"action": "store_true", "help": "with --thresholds: also the professions that are held out"},
}

if __name__ == "__main__":
    sys.exit(run("where", __doc__, rows, OPTIONS))
