"""Text that people or other programs write is read by `read_text`: byte order marks, UTF-16, line ends, bounded size.

This looks for every other way of reading text from a file in the pack and in the trainer. Those that remain read what
this project wrote itself, and are listed with a reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {
    "respo_train/core/files/write.py": "opens what it writes, and what it sweeps away to lock it",
    "respo_train/core/files/header.py": "opens all that is read",
    "respo_train/evaluation/protocol.py": "a protocol that ships with the trainer",
}
BY_PATH = {"read_text", "read_bytes", "open", "fdopen"}
BY_MODULE = {
    "json": {"load"},
    "tomllib": {"load"},
    "tomli": {"load"},
    "codecs": {"open"},
    "linecache": {"getline", "getlines"},
}
NO_TEXT = {"Image", "tarfile", "zipfile"}  # `Image.open` and the like


def places(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and the name of each call that may read text from a file."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id == "open":
            yield node.lineno, "open"
        elif isinstance(called, ast.Attribute):
            of = called.value.id if isinstance(called.value, ast.Name) else ""
            by_path = called.attr in BY_PATH and of not in NO_TEXT
            # A ConfigParser's, whatever it is called.
            by_parser = called.attr in ("read_file", "readfp") or (called.attr == "read" and "pars" in of.lower())
            if by_path or by_parser or called.attr in BY_MODULE.get(of, ()):
                yield node.lineno, f"{of or '…'}.{called.attr}"


def sources() -> list[Path]:
    return [path for folder in ("nodes", "respo_train") for path in sorted((ROOT / folder).rglob("*.py"))]


def found() -> dict[str, list[tuple[int, str]]]:
    every = {str(p.relative_to(ROOT).as_posix()): [*places(ast.parse(p.read_text("utf-8")))] for p in sources()}
    return {path: own for path, own in every.items() if own}


def test_text_from_outside_is_read_by_read_text() -> None:
    assert len(sources()) > 100
    others = {path: own for path, own in found().items() if path not in OURS}
    assert others == {}, "read it with respo_train.core.files.text.read_text, or say in OURS why not"


def test_no_reason_outlives_its_place() -> None:
    assert set(OURS) <= set(found())


@pytest.mark.parametrize(
    "line",
    [
        "Path(a).read_text()",
        "a.read_text(encoding='utf-8')",
        "open(a)",
        "with open(a, encoding='utf-8') as file: pass",
        "a.open()",
        "io.open(a)",
        "json.load(file)",
        "tomllib.load(file)",
        "parser.read(a)",
        "configparser.ConfigParser().read_file(a)",
        "a.read_bytes().decode()",
        "codecs.open(a)",
    ],
)
def test_what_is_found(line: str) -> None:
    assert [*places(ast.parse(line))]


@pytest.mark.parametrize("line", ["Image.open(a)", "json.loads(a)", "file.read(8)", "read_text(a, 'the preset')"])
def test_what_is_not(line: str) -> None:
    assert not [*places(ast.parse(line))]
