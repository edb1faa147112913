"""Style, types and sizes: what the linters say of the whole repository, and the packaging's promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import respo_train

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("__init__.py", "run.py", "setup_steps", "nodes", "respo_train", "emoji_world", "benchmarks")
LONGEST_FILE = 300
LONGEST_FUNCTION = 40
TABLES = {"define_schema"}  # a node's inputs and outputs: a list of data, not steps
FOREIGN_PATHS = re.compile(r"(?<![\w./])/(?:work|root|home/\w+)/\w")


def product_files() -> list[Path]:
    found = [[ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py") for place in PRODUCT]
    return sorted(path for paths in found for path in paths)


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)],
    ids=" ".join,
)
def test_linter(command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, "\n" + done.stdout[-6000:] + done.stderr[-2000:]


def test_files_are_short():
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in product_files()}
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short():
    found = {}
    for path in product_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.name in TABLES:
                continue
            if code_lines(node) > LONGEST_FUNCTION:
                found[f"{path.relative_to(ROOT)}:{node.name}"] = code_lines(node)
    assert found == {}


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_no_published_file_names_a_path_of_one_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git clone")
    found = []
    for name in listed.stdout.splitlines():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue  # a picture, or removed and not yet committed
        found += [f"{name}: {match[0]}" for match in FOREIGN_PATHS.finditer(text)]
    assert found == []


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_listed_and_nodes_is_not(project):
    packages = {".".join(path.relative_to(ROOT).parent.parts) for path in (ROOT / "respo_train").rglob("*.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == packages


def test_versions_agree(project):
    assert project["project"]["version"] == respo_train.__version__
    assert respo_train.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_registry_accepts_the_names(project):
    assert "comfyui" not in project["project"]["name"].lower()
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["project"]["version"])
    assert re.fullmatch(r">=\d+\.\d+\.\d+", project["tool"]["comfy"]["requires-comfyui"])


@pytest.mark.parametrize("name", ["host", "train", "test", "judges"])
def test_every_requirement_has_one_pinned_version(name):
    pinned = {re.split(r"==", line)[0] for line in requirement_lines("lock")}
    wanted = {re.split(r"[=<>; ]", line)[0].lower() for line in requirement_lines(name)}
    assert wanted <= pinned


def requirement_lines(name: str) -> list[str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
