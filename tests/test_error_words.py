"""Errors of the library name no option of the command line: each front end has its own words for what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from respo_train.cli.words import OPTIONS
from respo_train.core.errors import ModuleFileError, Remedy, RespoError

ROOT = Path(__file__).resolve().parent.parent
COMMAND_LINE = ("respo_train/cli/", "respo_train/__main__.py")
# Texts with two dashes that are none of our options.
EXCEPT = {
    "respo_train/report/charts.py": "the names of colours in CSS",
    "respo_train/report/page.py": "a command to type, on the page of a run",
    "respo_train/host/borrow.py": "an option of ComfyUI's own",
}
# Only what evaluates can have these wrong, and no node does.
OF_EVALUATION = {"guidance", "judge", "judge_prompts", "strength"}


def library() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("respo_train", "nodes"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(COMMAND_LINE):
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def texts(tree: ast.Module) -> Iterator[str]:
    """All texts but docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = (node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body)
    docstrings = {id(first.value) for first in bodies if isinstance(first, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def calls_of(tree: ast.Module, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name:
            yield node


def widgets() -> dict[str, str]:
    """The words of Train Module, read from the source: the node itself needs a host."""
    tree = ast.parse((ROOT / "nodes" / "training" / "run.py").read_text(encoding="utf-8"))
    (found,) = (node.value for node in tree.body if isinstance(node, ast.Assign) and "WIDGETS" in ast.unparse(node))
    words = ast.literal_eval(found)
    assert isinstance(words, dict)
    return words


def test_no_text_of_the_library_names_an_option_of_the_command_line() -> None:
    found = {name for name, tree in library() if any(re.search(r"--\w", text) for text in texts(tree))}
    assert found == set(EXCEPT)


def test_every_remedy_has_words_in_every_front_end() -> None:
    used = set()
    for _, tree in library():
        for call in calls_of(tree, "Remedy"):
            options = [node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant)]
            used |= {option for option in options if isinstance(option, str) and option != "compiled"}
    assert used == set(OPTIONS)
    assert used - OF_EVALUATION == set(widgets())
    assert all(re.search(r"--[a-z]", words) for option, words in OPTIONS.items() if option != "picture_guidance")
    assert not any("--" in words for words in widgets().values())


def test_no_front_end_operates_on_an_errors_text() -> None:
    """What says it otherwise has fields to say it from."""
    for name, tree in library():
        for handler in ast.walk(tree):
            if (
                isinstance(handler, ast.ExceptHandler)
                and handler.name
                and "RespoError" in ast.unparse(handler.type or handler)
            ):
                inside = [
                    ast.unparse(call) for part in handler.body for call in calls_of(ast.Module([part], []), "replace")
                ]
                assert not [call for call in inside if handler.name in call], name


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (OPTIONS, "it has done 5 steps: give --steps 5 or more, or train anew with --overwrite."),
        ({"overwrite": "start anew"}, "it has done 5 steps: steps 5, or start anew."),
        ({}, "it has done 5 steps: steps 5, or overwrite."),
    ],
)
def test_an_error_in_different_words(words: dict[str, str], text: str) -> None:
    error = ModuleFileError("it has done 5 steps.", Remedy("steps", 5), Remedy("overwrite"))
    assert error.worded(words) == text
    assert (error.message, error.remedies[0].option, error.remedies[0].value) == ("it has done 5 steps.", "steps", 5)
    assert str(error) == error.worded({})


def test_an_error_without_remedies_is_its_message() -> None:
    assert RespoError("expected {a}, found --b.").worded(OPTIONS) == "expected {a}, found --b."
    assert RespoError("found {a}", Remedy("precision", "{b}")).worded(OPTIONS) == "found {a}: give --precision {b}."
