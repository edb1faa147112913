"""`python run.py demo`: draw with the biased model, train gender from scratch, draw again, measure, show."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.comfy_server import ComfyServer, ServerError
from benchmarks.drawing import PROFESSIONS, TRAINED, draw_by, photos, unasked
from benchmarks.evidence.bench import BENCH, examiners
from benchmarks.graph import SAVE, photographed
from benchmarks.scoring import Score, agreement, background, before_and_after, score
from respo_train.core.errors import RespoError
from respo_train.core.files.write import make_folder, write_atomically
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.figure import Figure
from respo_train.evaluation.ratios import perfect

from . import show

ROOT = Path(__file__).resolve().parents[2]
MODULE = "demo_gender.safetensors"
CONCEPTS = ("woman", "man")
FIRST_SEED = 42
HELD_OUT = ", ".join(job for job in PROFESSIONS if job not in TRAINED)
SHOWN = ("doctor", "nurse", "pilot", "teacher", "mechanic")  # the rows of before_after.png


def main() -> int:
    """Run the demo; returns the exit status."""
    options = _options()
    out: Path = options.out
    seconds: dict[str, float] = {}
    started = time.monotonic()
    print("Starting ComfyUI", flush=True)
    try:
        make_folder(out / "modules")
        with ComfyServer(out / "server", model_folders={"respo": out / "modules"}) as server:
            before = _timed(seconds, "before", lambda: unasked(draw(server, options.images, None)))
            _timed(seconds, "train", lambda: train(out / "modules" / MODULE))
            after = _timed(seconds, "after", lambda: draw(server, options.images, MODULE))
    except (RespoError, ServerError, subprocess.CalledProcessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    report(out, before, after, seconds, started)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py demo", description=__doc__)
    parser.add_argument("--images", type=int, default=30, help="pictures a profession (default 30)")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo", help="folder for what it makes")
    options = parser.parse_args()
    if options.images < 2:
        parser.error(f"--images: expected at least 2, found {options.images}")
    return options


def _timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    started = time.monotonic()
    result = work()
    seconds[name] = round(time.monotonic() - started, 1)
    return result


def draw(server: ComfyServer, count: int, module: str | None) -> list[Drawn]:
    """Draw `count` pictures of every profession through the server."""
    print("After" if module else "Before", flush=True)
    asks = photos(count, CONCEPTS, first=FIRST_SEED)
    return draw_by(server, asks, lambda ask: photographed(ask, module), [SAVE])[SAVE]


def train(target: Path) -> None:
    """Train woman and man from scratch, in a process of its own, as anybody would."""
    print(f"Training: woman and man, of all professions but {HELD_OUT}", flush=True)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "respo_train",
        "train",
        "--preset",
        "gender",
        "--out",
        target,
        "--overwrite",
    ]
    subprocess.run([*command, "--checkpoint", BENCH / "checkpoint" / "emoji_world.safetensors"], cwd=ROOT, check=True)


def report(
    out: Path, before: Sequence[Drawn], after: Sequence[Drawn], seconds: dict[str, float], started: float
) -> None:
    """Judge both runs, print the table, write the pictures, the page and report.json."""
    judge, segmenter = examiners()
    first, second = score(judge, before, CONCEPTS), score(judge, after, CONCEPTS)
    obeyed, kept = agreement(judge, after), background(segmenter, before, after)
    ideal = perfect(after, CONCEPTS).value
    first_shown, second_shown = ({one.group: one.images[:] for one in run} for run in (before, after))
    show.save_grid(out / "before.png", first_shown)
    show.save_grid(out / "after.png", second_shown)
    pair = [{job: run[job] for job in SHOWN} for run in (first_shown, second_shown)]
    show.save_pair(out / "before_after.png", pair[0], pair[1])
    show.save_chart(out / "deviation.png", first, second, ideal)
    rows = table(first, second, ideal, obeyed, kept)
    total = round(time.monotonic() - started, 1)
    compared = before_and_after(first, second)
    compared["deviation_ratio"]["perfect_method"] = ideal
    figures = {
        "images": sum(len(one.images) for one in before),
        "professions": len(before),
        **compared,
        "per_profession": {
            job: {"before": ratio.to_dict(), "after": second.ratios[job].to_dict()}
            for job, ratio in first.ratios.items()
        },
        "asked_and_seen": obeyed,
        "background_psnr": kept.to_dict(),
        "seconds": {**seconds, "total": total},
    }
    write_atomically(out / "report.json", (json.dumps(figures, indent=2) + "\n").encode())
    sentence = (
        f"{figures['images']} pictures of {len(before)} professions. Training took {seconds['train']:.0f} s "
        f"and showed it women and men of all professions but {HELD_OUT}."
    )
    titles = (("Before", "before.png"), ("After", "after.png"), ("Deviation ratio", "deviation.png"))
    show.save_page(out / "index.html", rows, sentence, [(title, out / name) for title, name in titles])
    _print(rows, first, second, out, total)


def table(
    before: Score, after: Score, ideal: float, obeyed: Mapping[str, float], background: Figure
) -> list[tuple[str, str, str]]:
    """Return (what, before, after) as text."""
    return [
        ("deviation ratio, gender (95 % interval)", f"{before.overall:.3f}", f"{after.overall:.3f}"),
        ("  a perfect method, same sampling", "", f"{ideal:.3f}"),
        ("profession right", f"{before.profession_accuracy:.1%}", f"{after.profession_accuracy:.1%}"),
        ("judge unsure of gender", f"{before.unsure:.1%}", f"{after.unsure:.1%}"),
        *((f"asked for a {concept} and seen", "", f"{share:.1%}") for concept, share in sorted(obeyed.items())),
        (
            "background against before, PSNR",
            "",
            f"{background.value:.1f} dB [{background.low:.1f}, {background.high:.1f}]",
        ),
    ]


def _print(rows: Sequence[tuple[str, str, str]], before: Score, after: Score, out: Path, total: float) -> None:
    print(f"\n{'':42}{'before':>24}{'after':>24}")
    for profession in before.ratios:
        ratios = (f"{score.ratios[profession]:.3f}" for score in (before, after))
        print(f"{profession:42}" + "".join(f"{ratio:>24}" for ratio in ratios))
    print()
    for what, first, second in rows:
        print(f"{what:42}{first:>24}{second:>24}")
    print(f"\n{total:.0f} s. Look at {out / 'index.html'}")


if __name__ == "__main__":
    sys.exit(main())
