"""The host's Cancel is an Exception on some hosts and a BaseException on others. Nothing may swallow it on either.

This looks for every handler of all errors in the pack and in the trainer. Each is listed with the reason why it loses
neither a Cancel nor anybody's work.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BROAD = {"Exception", "BaseException"}
CANCEL = "InterruptProcessingException"
KNOWN = {
    "respo_train/evaluation/inception.py _refuse_code": "reads a file, on the command line alone",
    "respo_train/host/host_network.py compile": "compiles, on the command line alone; nothing is trained yet",
    "respo_train/host/load.py _load": "loads a checkpoint, on the command line alone",
    "respo_train/host/load.py _load_parts": "loads separate files, on the command line alone",
    "respo_train/host/outline.py model_without_weights": "reads a checkpoint's header, and computes nothing",
    "respo_train/host/planned.py prepare": "lets Cancel through: its networks are the host's, which look for it",
    "respo_train/job.py after_step": "saves the training and raises the same again",
    "respo_train/judges/clip.py _refused": "transformers runs inside, which knows of no Cancel; no BaseException but "
    "Rust's is kept",
    "respo_train/judges/face_networks.py __init__": "loads files with two libraries that know of no Cancel",
}


def handlers(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """The function of each handler of all errors, and whether Cancel gets past it: raised again, or let through."""
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Try):
                for place, handler in enumerate(node.handlers):
                    if names(handler.type) & BROAD or handler.type is None:
                        before = [names(other.type) for other in node.handlers[:place]]
                        raises = any(isinstance(part, ast.Raise) for part in ast.walk(handler))
                        yield function.name, raises or any(CANCEL in own for own in before)
            suppresses = isinstance(node, ast.Call) and "suppress" in names(node.func)
            if suppresses and any(names(given) & BROAD for given in node.args):
                yield function.name, False


def names(node: ast.AST | None) -> set[str]:
    """The last part of each name in an expression of errors: `a.B` and `(A, B)`."""
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "") for part in parts}


def found() -> dict[str, bool]:
    paths = [
        ROOT / "__init__.py",
        *(path for folder in ("nodes", "respo_train") for path in (ROOT / folder).rglob("*.py")),
    ]
    assert len(paths) > 100
    every: dict[str, bool] = {}
    for path in paths:
        for function, passes in handlers(ast.parse(path.read_text("utf-8"))):
            key = f"{path.relative_to(ROOT).as_posix()} {function}"
            every[key] = every.get(key, True) and passes
    return every


def test_each_handler_of_all_errors_is_listed() -> None:
    assert set(found()) == set(KNOWN)


def test_cancel_gets_past_each() -> None:
    assert [place for place, passes in found().items() if not passes] == []


def test_the_scan_finds_what_it_is_for() -> None:
    swallow = "    pass\n"
    kinds = ("except:", "except Exception:", "except BaseException as error:", "except (OSError, Exception):")
    for kind in kinds:
        assert list(handlers(ast.parse(f"def f():\n  try:\n    g()\n  {kind}\n{swallow}"))) == [("f", False)]
        assert list(handlers(ast.parse(f"def f():\n  try:\n    g()\n  {kind}\n    raise\n"))) == [("f", True)]
        let = f"def f():\n  try:\n    g()\n  except host.{CANCEL}:\n    raise\n  {kind}\n{swallow}"
        assert list(handlers(ast.parse(let))) == [("f", True)]
    suppressed = "def f():\n  with contextlib.suppress(OSError, Exception):\n    g()\n"
    assert list(handlers(ast.parse(suppressed))) == [("f", False)]
    assert not list(handlers(ast.parse(suppressed.replace(", Exception", ""))))
