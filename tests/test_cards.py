"""Model cards and notes: each module has a card, its figures are the published ones, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORLD = ROOT / "emoji_world"
CARDS = (WORLD / "MODEL_CARD.md", WORLD / "modules" / "MODEL_CARD.md")
NOTES = (*CARDS, WORLD / "LICENSES.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md")
PUBLISHED = (ROOT / "README.md", ROOT / "benchmarks" / "README.md", WORLD / "README.md")
FIGURE = re.compile(r"(?<![\w.])\d*\.?\d+(?![\w])")
MARKS = ("**For**", "**Not for**", "**Trained**", "**Measured**", "**Limits**")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def table_figures(text: str) -> set[str]:
    return {number for line in text.splitlines() if line.startswith("|") for number in FIGURE.findall(line)}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.parent.name)
def test_figures_are_those_that_are_published(card):
    published = {number for path in PUBLISHED for number in table_figures(text_of(path))}
    assert table_figures(text_of(card)) - published == set()


def test_every_shipped_module_has_a_card_that_says_everything():
    sections = text_of(CARDS[1]).split("\n## ")[1:]
    for module in sorted((WORLD / "modules").glob("*.safetensors")):
        (own,) = [section for section in sections if f"\n`{module.name}`" in section]
        assert [mark for mark in MARKS if mark not in own] == [], module.name
        assert f"--out emoji_world/modules/{module.name}" in own
    assert len(sections) == len(list((WORLD / "modules").glob("*.safetensors")))


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.relative_to(ROOT).as_posix())
def test_links_and_names_of_files_lead_somewhere(note):
    text = text_of(note)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (note.parent / link).exists()] == []
    named = re.findall(r"`((?:respo_train|nodes|tests|benchmarks|requirements)/[\w./]+)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_promise_of_security_has_a_test() -> None:
    rows = [line for line in text_of(ROOT / "SECURITY.md").splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 5
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row.rsplit("|", 2)[1])
        assert named, row
        assert all((ROOT / name).is_file() for name in named), row
