"""`python -m benchmarks.where [--images N] [--json FILE]`: what Where does to Balance, through a real server.

Every profession, the same seeds with and without Where: how much of the background stays as it is without modules
(PSNR outside the persons), and whether the shares stay as asked. Differences to Balance alone are taken picture by
picture. With `--thresholds` the record's threshold is compared instead, on the professions that are not held out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.comfy_server import ComfyServer
from benchmarks.demo.scoring import Pictures, agreement, background_psnrs, score, to_tensor
from benchmarks.demo.workflow import IMAGES_NODE, workflow
from emoji_world import world
from emoji_world.measure import article
from respo_train.core.counting.balance import assign, parse_shares
from respo_train.core.counting.metrics import Interval, mean_ratio_of_labels, paired_bootstrap
from respo_train.core.files.checkpoint import write_atomically
from respo_train.judges.emoji_world import Judge, load_judge
from respo_train.judges.segmenter import Segmenter, load_segmenter

BENCH = Path(world.__file__).resolve().parent
MODULE = "emoji_world_gender.safetensors"
CONCEPTS = ("woman", "man")
FIRST_SEED = 42
BEFORE, BALANCE = "before", "Balance"
Settings = Mapping[str, Any]  # inputs of a Where node, links among them
Runs = dict[str, dict[str, Pictures]]  # row -> profession -> pictures


def main() -> int:
    """Measure, print, write; returns the exit status."""
    options = _options()
    started = time.monotonic()
    jobs = [(p.word, FIRST_SEED + 10_000 * i) for i, p in enumerate(world.PROFESSIONS)]
    if options.thresholds:
        held_out = {p.word for p in world.PROFESSIONS if p.held_out}
        jobs = [(job, seed) for job, seed in jobs if job not in held_out]
    with tempfile.TemporaryDirectory() as folder, ComfyServer(Path(folder)) as server:
        threshold = server.object_info()["RespoWhere"]["input"]["required"]["threshold"][1]["default"]
        rows = compared(options.thresholds) if options.thresholds else shown(threshold)
        runs = draw(server, jobs, options.images, rows)
    labels = {job: assign(seed, options.images, parse_shares("woman 1, man 1")) for job, seed in jobs}
    figures = {"images": options.images * len(jobs), "professions": len(jobs), "threshold": threshold}
    figures["rows"] = measure(runs, labels)
    figures["seconds"] = round(time.monotonic() - started, 1)
    if options.json:
        write_atomically(options.json, (json.dumps(figures, indent=2) + "\n").encode())
    print("\n".join(table(figures["rows"])))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.where", description=__doc__)
    parser.add_argument("--images", type=int, default=12, help="pictures a profession (default 12)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--thresholds", type=float, nargs="+", metavar="T", help="compare these instead")
    options = parser.parse_args()
    if options.images < 2:
        parser.error(f"--images: expected at least 2, found {options.images}")
    return options


def shown(threshold: float) -> dict[str, Settings]:
    """Return the ways to tell Where the subject is: by the prompt's word, by a record, by both."""
    record = {"record": ["record", 1], "threshold": threshold}
    words = {"words": "{job}", "clip": ["checkpoint", 1], "prompt": "{prompt}"}
    return {"Where by words": words, "Where by record": record, "Where by both": {**words, **record}}


def compared(thresholds: Sequence[float]) -> dict[str, Settings]:
    """Return a record with each threshold."""
    return {f"record, {t:g}": {"record": ["record", 1], "threshold": t} for t in thresholds}


def graph(job: str, seed: int, count: int, rows: Mapping[str, Settings]) -> dict[str, Any]:
    """Draw one profession without modules, by Balance, and by Balance with each row's Where, in one graph."""
    prompt = f"a photo of {article(job)} {job}"
    nodes = workflow(prompt, seed, count, MODULE)
    sampler = nodes["sampler"]["inputs"]
    given = {name: value for name, value in sampler.items() if name != "model"}
    nodes["record"] = _node("RespoRecordRun", model=["checkpoint", 0], **given)
    nodes |= _saved(BEFORE, ["record", 0])
    for row, settings in rows.items():
        own = {k: v.format(job=job, prompt=prompt) if isinstance(v, str) else v for k, v in settings.items()}
        own = {"words": "", "threshold": 0.0, "enabled": True, **own}
        nodes[f"where {row}"] = _node("RespoWhere", model=sampler["model"], **own)
        nodes[f"sampler {row}"] = _node("KSampler", model=[f"where {row}", 0], **given)
        nodes |= _saved(row, [f"sampler {row}", 0])
    return nodes


def _saved(row: str, latent: list[Any]) -> dict[str, Any]:
    decode = _node("VAEDecode", samples=latent, vae=["checkpoint", 2])
    return {f"decode {row}": decode, row: _node("SaveImage", images=[f"decode {row}", 0], filename_prefix="where")}


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def draw(server: ComfyServer, jobs: Sequence[tuple[str, int]], count: int, rows: Mapping[str, Settings]) -> Runs:
    """Draw every row of every profession."""
    places = {BEFORE: BEFORE, BALANCE: IMAGES_NODE, **{row: row for row in rows}}
    runs: Runs = {row: {} for row in places}
    for job, seed in tqdm(jobs, unit="profession"):
        entry = server.run(graph(job, seed, count, rows))
        for row, node in places.items():
            runs[row][job] = np.stack([np.asarray(image.convert("RGB")) for image in server.images(entry, node)])
    return runs


def measure(runs: Runs, labels: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Return each row's figures; `labels`: what each profession's pictures were asked to show."""
    judge = load_judge(BENCH / "judges" / "judge.safetensors")
    segmenter = load_segmenter(BENCH / "judges" / "segmenter.safetensors")
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
