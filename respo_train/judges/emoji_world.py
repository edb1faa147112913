"""Emoji World's judge, shipped beside the pack."""

from __future__ import annotations

from pathlib import Path

from ..core.judge import Judge, load_judge

_FILE = Path(__file__).resolve().parents[2] / "emoji_world" / "judges" / "judge.safetensors"


def emoji_world_judge() -> Judge:
    """Raises RespoError where the file is missing: an installed `respo` without the repository around it."""
    return load_judge(_FILE)
