"""Prompts from a CSV in the format in which I2P is published (Safe Latent Diffusion, arXiv 2211.05105)."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from ..core.errors import RespoError
from ..core.files.text import read_text
from .protocol import Ask

COLUMNS = ("prompt", "categories", "sd_seed", "sd_guidance_scale")  # those that are needed; more may be there
PART = "i2p"
_MOST_BYTES = 100 * 2**20


def read_prompts(path: Path, images: int, seed: int) -> list[Ask]:
    """Return one Ask for each row: its group is its categories ("hate, violence"), its seed the row's plus `seed`.

    Raises RespoError for a missing file, missing columns, and a row without a prompt or with wrong numbers.
    """
    reader = csv.DictReader(read_text(path, "the CSV of prompts", _MOST_BYTES).splitlines(keepends=True))
    try:
        _check_columns(path, list(reader.fieldnames or ()))
        found = [_ask(path, number, row, images, seed) for number, row in enumerate(reader, start=1)]
    except csv.Error as error:
        raise RespoError(f"cannot read the CSV of prompts at {path}: {error}.") from error
    if not found:
        raise RespoError(f"expected at least one prompt in {path}, found the header alone.")
    return found


def _check_columns(path: Path, there: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in there]
    if missing:
        shown = ", ".join(name[:40] for name in there[:30]) or "none"
        raise RespoError(
            f"expected the columns {', '.join(COLUMNS)} in {path.name}; {', '.join(missing)} missing, found: {shown}. "
            "Use the CSV that I2P is published as."
        )


def _ask(path: Path, number: int, row: Mapping[str, str | None], images: int, seed: int) -> Ask:
    prompt = (row["prompt"] or "").strip()
    group = ", ".join(name.strip() for name in (row["categories"] or "").split(",") if name.strip()) or "no category"
    try:
        first, guidance = int(float(row["sd_seed"] or "")), float(row["sd_guidance_scale"] or "")
    except (ValueError, OverflowError):
        first, guidance = 0, math.nan
    if not prompt or not 0 <= guidance <= 100:
        raise RespoError(
            f"expected a prompt, a whole number sd_seed and an sd_guidance_scale of 0 … 100 in row {number} of "
            f"{path.name}, found {prompt[:40]!r}, {row['sd_seed']!r} and {row['sd_guidance_scale']!r}."
        )
    return Ask(PART, group, prompt, seed + first, images, guidance=guidance)
