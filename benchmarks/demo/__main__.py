"""`python run.py demo`: draw with the biased model, train gender from scratch, draw again, measure, show."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.comfy_server import ComfyServer, ServerError
from benchmarks.command import pictures, write_figures
from benchmarks.drawing import PROFESSIONS, TRAINED, draw_by, photos, unasked
from benchmarks.evidence.bench import BENCH, ROOT, examiners
from benchmarks.graph import CHECKPOINT, SAVE, photographed
from benchmarks.scoring import by_profession, compared, score
from emoji_world.world import GENDERS
from respo_train.core.errors import RespoError
from respo_train.core.files.write import make_folder
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.figure import Figure
from respo_train.evaluation.ratios import perfect

from . import show

MODULE = "demo_gender.safetensors"
FIRST_SEED = 42
HELD_OUT = ", ".join(job for job in PROFESSIONS if job not in TRAINED)


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
    parser.add_argument("--images", **pictures(30, fewest=2))
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo", help="folder for what it makes")
    return parser.parse_args()


def _timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    started = time.monotonic()
    result = work()
    seconds[name] = round(time.monotonic() - started, 1)
    return result


def draw(server: ComfyServer, count: int, module: str | None) -> list[Drawn]:
    """Draw `count` pictures of every profession through the server."""
    print("After" if module else "Before", flush=True)
    asks = photos(count, GENDERS, first=FIRST_SEED)
    return draw_by(server, asks, lambda ask: photographed(ask, module), [SAVE])[SAVE]


def train(target: Path) -> None:
    """Train woman and man from scratch, in a process of its own, as anybody would."""
    print(f"Training: woman and man, of all professions but {HELD_OUT}", flush=True)
    command: list[str | Path] = [sys.executable, "-m", "respo_train", "train", "--preset", "gender", "--overwrite"]
    command += ["--checkpoint", BENCH / "checkpoint" / CHECKPOINT, "--out", target]
    subprocess.run(command, cwd=ROOT, check=True)


def report(
    out: Path, before: Sequence[Drawn], after: Sequence[Drawn], seconds: dict[str, float], started: float
) -> None:
    """Judge both runs, print the table, write the pictures, the page and report.json."""
    judge, segmenter = examiners()
    first, second = score(judge, before), compared(judge, segmenter, before, after)
    ratios = {name: by_profession(judge, run) for name, run in (("before", before), ("after", after))}
    ideal = perfect(after, GENDERS).value
    rows = table(first, second, ideal)
    total = round(time.monotonic() - started, 1)
    figures = {
        "images": sum(len(one.images) for one in before),
        "professions": len(before),
        "before": first,
        "after": {**second, "perfect_method": ideal},
        "per_profession": ratios,
        "seconds": {**seconds, "total": total},
    }
    write_figures(out / "report.json", figures)
    sentence = (
        f"{figures['images']} pictures of {len(before)} professions. Training took {seconds['train']:.0f} s "
        f"and showed it women and men of all professions but {HELD_OUT}."
    )
    show.save_pictures(out, before, after)
    means = {"before": first["deviation_ratio"].value, "after": second["deviation_ratio"].value}
    named = {f"{name} (mean {means[name]:.2f})": own for name, own in ratios.items()}
    show.save_chart(out / "deviation.png", named, ideal)
    show.save_page(out, rows, sentence)
    print(f"\n{'':42}{'before':>24}{'after':>24}")
    for what, *cells in [*professions(ratios), ("",), *rows]:
        print(f"{what:42}" + "".join(f"{cell:>24}" for cell in cells))
    print(f"\n{total:.0f} s. Look at {out / 'index.html'}")


def table(before: Mapping[str, Any], after: Mapping[str, Any], ideal: float) -> list[tuple[str, ...]]:
    """Return (what, before, after) as text."""
    kept, obeyed = after["background_psnr"], sorted(after["asked_and_seen"].items())
    return [
        ("deviation ratio, gender (95 % interval)", *(f"{run['deviation_ratio']:.3f}" for run in (before, after))),
        ("  a perfect method, same sampling", "", f"{ideal:.3f}"),
        ("profession right", *(f"{run['profession_accuracy']:.1%}" for run in (before, after))),
        ("judge unsure of gender", *(f"{run['unsure']:.1%}" for run in (before, after))),
        *((f"asked for a {name} and seen", "", f"{share:.1%}") for name, share in obeyed),
        ("background against before, PSNR", "", f"{kept.value:.1f} dB [{kept.low:.1f}, {kept.high:.1f}]"),
    ]


def professions(ratios: Mapping[str, Mapping[str, Figure]]) -> list[tuple[str, ...]]:
    """Return each profession's deviation ratio as text."""
    return [(job, f"{one:.3f}", f"{ratios['after'][job]:.3f}") for job, one in ratios["before"].items()]


if __name__ == "__main__":
    sys.exit(main())
