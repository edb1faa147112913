"""Text of strangers is shown without what could hide, rewrite or turn round what stands beside it."""

from __future__ import annotations

import ast
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from respo_train.__main__ import main
from respo_train.core.errors import Remedy, RespoError
from respo_train.core.files.checkpoint import load_attribute, save_attribute
from respo_train.core.shown import one_line, printable, shown
from respo_train.report.pages import Page, write_page

ROOT = Path(__file__).resolve().parents[2]
BAD = "\x1b[2J\u202e\r\u2066\x07\u2028\ud800"
values = st.recursive(st.integers() | st.text() | st.none() | st.floats(), lambda inner: st.lists(inner, max_size=3))


def is_clean(text: str) -> bool:
    marks = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return all(letter in "\n\t\u200d" or unicodedata.category(letter) not in marks for letter in text)


@given(st.text())
def test_every_mark_is_written_out(text: str) -> None:
    assert is_clean(printable(text))
    assert printable(printable(text)) == printable(text)
    if is_clean(text):
        assert printable(text) == text


@given(values)
def test_anything_can_be_shown(value: object) -> None:
    for text in (shown(value), one_line(value)):
        assert is_clean(text)
        assert "\n" not in text


def test_what_has_no_text() -> None:
    assert shown(10**5000) == "a int"
    assert shown("a\nb") == "'a\\nb'"
    assert printable("\U0001f469\u200d\U0001f680 \u65e5 \u202e") == "\U0001f469\u200d\U0001f680 \u65e5 \\u202e"


def test_errors_are_clean() -> None:
    assert is_clean(str(RespoError(f"found {BAD}")))
    assert is_clean(RespoError("no", Remedy("precision", BAD)).worded({}))


def test_pages_are_clean(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", Page("module", BAD, BAD, [(BAD, BAD)], [], [(BAD, BAD)], [], BAD))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "\\u202e" in text
    assert is_clean(text)


def test_the_terminal_is_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = load_attribute(ROOT / "emoji_world" / "modules" / "emoji_world_gender.safetensors")
    bad = BAD.removesuffix("\ud800")  # which no file can hold
    object.__setattr__(good, "base", {**good.base, "name": f"{bad}\nlicence  free"})
    object.__setattr__(good, "training", {"objective": f"{bad}\nlicence  free", f"{bad}\nlicence": 1})
    save_attribute(tmp_path / "bad.safetensors", good)
    assert main(["info", str(tmp_path / "bad.safetensors")]) == 0
    printed = capsys.readouterr().out
    assert "\\u202e" in printed
    assert is_clean(printed)
    assert not any(line.startswith("licence") for line in printed.splitlines())


def calls(path: Path, name: str) -> int:
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return sum(isinstance(one, ast.Call) and f".{ast.unparse(one.func)}".endswith(f".{name}") for one in tree)


def test_nothing_is_printed_in_another_way() -> None:
    """Commands print by `say`, pages have one environment, and what nodes show passes the check of their inputs."""
    places = {
        name: {str(path.relative_to(ROOT)) for path in (ROOT / "respo_train").rglob("*.py") if calls(path, name)}
        for name in ("print", "stderr.write", "stdout.write", "Environment")
    }
    assert places.pop("print") == {"respo_train/cli/messages.py"}
    assert places.pop("Environment") == {"respo_train/report/pages.py"}
    assert not any(places.values()), json.dumps(places, default=list)
