"""docs/architecture.md and its picture name every folder of the code, and no folder that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PICTURE = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([a-z_./]+)/`", PAGE)) - {"presets", "recipes", "gender.training"}


def rooms() -> list[str]:
    """Return the packages of the nodes, the trainer and its core, as paths from the repository's root."""
    places = ("nodes", "respo_train", "respo_train/core")
    found = [path.parent for place in places for path in (ROOT / place).glob("*/__init__.py")]
    return [path.relative_to(ROOT).as_posix() for path in found]


def test_the_page_is_short():
    assert len(PAGE.splitlines()) <= 250


@pytest.mark.parametrize("folder", sorted(NAMED))
def test_each_folder_that_it_names_is_there(folder):
    assert (ROOT / folder).is_dir()


@pytest.mark.parametrize("folder", ["nodes", "respo_train", "emoji_world", "benchmarks", "setup_steps", *rooms()])
def test_each_folder_of_the_code_is_named(folder):
    assert folder in NAMED


@pytest.mark.parametrize("folder", rooms())
def test_the_picture_shows_each_room(folder):
    shown = re.findall(r">([\w.]+)</text>", PICTURE)
    assert ("respo_train.core" if folder == "respo_train/core" else folder.rpartition("/")[2]) in shown
