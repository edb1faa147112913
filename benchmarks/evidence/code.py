"""Which of our own code a drawn picture depends on: a hash that comments and docstrings leave alone."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NODES = "nodes"


def nodes_sha256(kinds: Iterable[str]) -> str:
    """Hash the code of our nodes of these classes ("RespoBalance", …) and everything of ours that they import.

    The host's own nodes have no part in it: the host's version stands for them.
    """
    return files_sha256(_file_of(kind) for kind in set(kinds) if kind.startswith("Respo"))


def files_sha256(starts: Iterable[Path], alone: Iterable[Path] = ()) -> str:
    """Hash the code of these files of ours and everything of ours that they import; of `alone` these files only."""
    files = {file for start in starts for file in _closure(start)} | set(alone)
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(ROOT).as_posix()}\n{_bare(file)}\n".encode())
    return digest.hexdigest()


@cache
def _file_of(kind: str) -> Path:
    for file in sorted((ROOT / NODES).glob("*.py")):
        if f'node_id="{kind}"' in file.read_text(encoding="utf-8"):
            return file
    raise LookupError(f"no file of {NODES}/ defines the node {kind}")


@cache
def _closure(start: Path) -> frozenset[Path]:
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported(file)
    return frozenset(found)


def _imported(file: Path) -> list[Path]:
    """Return our files that `file` imports, relatively, as everything inside the pack does."""
    found = []
    for part in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(part, ast.ImportFrom) and part.level:
            folder = file.parents[part.level - 1].joinpath(*(part.module or "").split("."))
            names = [folder / alias.name for alias in part.names]
            found += [path.with_suffix(".py") for path in (folder, *names) if path.with_suffix(".py").is_file()]
    return found


@cache
def _bare(file: Path) -> str:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for part in ast.walk(tree):
        if isinstance(part, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(part) is not None:
            part.body = part.body[1:]
    return ast.dump(tree)
