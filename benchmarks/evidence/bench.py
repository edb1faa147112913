"""The bench: its files, whether they are the frozen ones, and what its judge is worth on real emoji."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from emoji_world import world
from respo_train.core.counting.metrics import wilson
from respo_train.core.files.checkpoint import file_sha256
from respo_train.evaluation.cells import digest_of
from respo_train.evaluation.figure import Figure
from respo_train.judges.emoji_world import Judge, load_judge
from respo_train.judges.segmenter import Segmenter, load_segmenter

ROOT = Path(__file__).resolve().parents[2]
BENCH = Path(world.__file__).resolve().parent
MODULES = BENCH / "modules"  # the shipped ones
JUDGE, SEGMENTER = BENCH / "judges" / "judge.safetensors", BENCH / "judges" / "segmenter.safetensors"


def examiners() -> tuple[Judge, Segmenter]:
    """Return the judge and the segmenter."""
    return load_judge(JUDGE), load_segmenter(SEGMENTER)


@cache
def code_sha256(*places: str) -> str:
    """Hash our files in these places, comments and all: what a machine keeps is of the code that lies on it."""
    files = sorted(file for place in places for file in [*(ROOT / place).rglob("*.py"), ROOT / place] if file.is_file())
    return digest_of([(file.relative_to(ROOT).as_posix(), file_sha256(file)) for file in files])


def changed_files(bench: Path = BENCH) -> list[str]:
    """Return which files of the bench are not those that were frozen; none, if all is well."""
    frozen = json.loads((bench / "frozen.json").read_text(encoding="utf-8"))
    return [name for name, sha256 in frozen.items() if file_sha256(bench / name) != sha256]


def judge_accuracy(bench: Path = BENCH) -> dict[str, Figure]:
    """Return the judge's accuracy on held-out emoji, as `python -m emoji_world judge` measured it when it was frozen.

    Unsure counts as wrong. Intervals are Wilson's: no pictures are needed to have them.
    """
    figures: dict[str, Any] = json.loads((bench / "figures.json").read_text(encoding="utf-8"))["judge"]
    pictures = int(figures["pictures"])
    known = {name: own["accuracy"] for name, own in figures.items() if isinstance(own, dict)}
    shares = {name: wilson(round(share * pictures), pictures, z=1.96) for name, share in known.items()}
    return {name: Figure(own.value, own.low, own.high, pictures) for name, own in shares.items()}
