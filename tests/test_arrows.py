"""Who may import whom: the arrows of docs/architecture.md, read from the source without running it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OWN = {"benchmarks", "emoji_world", "nodes", "respo_train", "setup_steps"}
HOST = re.compile(r"comfy(_\w+)?|folder_paths|node_helpers|latent_preview|execution|server|app")
CORE_MAY = {"torch", "safetensors", "numpy", "einops", "filelock"}  # PyTorch itself needs the last
SETTER = re.compile(r"set_model_\w+")
# Of the nodes: the one that judges, the one that trains and the one that writes an audit's page have to.
BEYOND_CORE = {"audit.py", "shared/judges.py", "training/run.py"}


def sources(*places: str) -> list[Path]:
    """Python files below folders of the repository, and files named directly."""
    paths = [
        path for place in places for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
    ]
    assert paths, f"nothing found in {places}"
    return sorted(paths)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield (full dotted target, whether the import is relative) of every import in a file, those in functions too.

    A relative target is told from the repository's root: in nodes/balance.py, `from ..respo_train.core import x` gives
    "respo_train.core.x". One that leaves the repository starts with "..".
    """
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = node.level - 1
            start = [] if node.level == 0 else [".."] if up > len(package) else list(package[: len(package) - up])
            stem = [*start, *([node.module] if node.module else [])]
            yield from ((".".join([*stem, alias.name]), node.level > 0) for alias in node.names)


def within(target: str, package: str) -> bool:
    return target == package or target.startswith(package + ".")


def offences(paths: list[Path], allowed) -> list[str]:
    """List the imports that `allowed(target, relative)` refuses."""
    found = [(path, target) for path in paths for target, relative in imports(path) if not allowed(target, relative)]
    return [f"{path.relative_to(ROOT)} imports {target}" for path, target in found]


def is_host(target: str) -> bool:
    return HOST.fullmatch(target.split(".")[0]) is not None


def is_own(target: str) -> bool:
    return target.split(".")[0] in OWN


def test_core_imports_tensors_and_the_standard_library_only():
    def allowed(target: str, relative: bool) -> bool:
        top = target.split(".")[0]
        return within(target, "respo_train.core") if relative else top in CORE_MAY or top in sys.stdlib_module_names

    assert offences(sources("respo_train/core"), allowed) == []


def test_only_the_host_folder_of_the_trainer_imports_comfyui():
    paths = [path for path in sources("respo_train") if path.parent != ROOT / "respo_train" / "host"]
    assert offences(paths, lambda target, relative: relative or not is_host(target)) == []


def test_own_imports_are_relative_inside_the_pack():
    paths = sources("__init__.py", "nodes", "respo_train")
    assert offences(paths, lambda target, relative: relative or not is_own(target)) == []


def test_the_trainer_imports_nothing_of_the_pack_around_it():
    assert (
        offences(sources("respo_train"), lambda target, relative: not relative or within(target, "respo_train")) == []
    )


def test_nodes_know_only_the_core_of_the_trainer():
    def allowed(target: str, relative: bool) -> bool:
        return not relative or within(target, "respo_train.core") or within(target, "nodes")

    paths = [path for path in sources("nodes") if path.relative_to(ROOT / "nodes").as_posix() not in BEYOND_CORE]
    assert offences(paths, allowed) == []


def test_the_nodes_judge_by_judges_alone():
    def allowed(target: str, relative: bool) -> bool:
        places = ("respo_train.core", "respo_train.judges", "nodes")
        return not relative or any(within(target, place) for place in places)

    assert offences(sources("nodes/shared/judges.py"), allowed) == []


def test_the_page_of_an_audit_comes_from_the_evaluation_alone():
    def allowed(target: str, relative: bool) -> bool:
        places = ("respo_train.core", "respo_train.evaluation.audit", "respo_train.evaluation.audit_page", "nodes")
        return not relative or any(within(target, place) for place in places)

    assert offences(sources("nodes/audit.py"), allowed) == []


@pytest.mark.parametrize("name", sorted(BEYOND_CORE))
def test_the_pack_loads_without_the_trainer(name):
    """Its packages may be missing: only functions, once called, and type checkers import it."""
    tree = ast.parse((ROOT / "nodes" / name).read_text(encoding="utf-8"))
    at_once = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert [name for name in at_once if within(name, "respo_train") and not within(name, "respo_train.core")] == []


def test_registration_knows_nodes_core_and_the_model_class():
    places = ("nodes", "respo_train.core", "respo_train.host.emoji_world_model")

    def allowed(target: str, relative: bool) -> bool:
        return not relative or any(within(target, place) for place in places)

    assert offences(sources("__init__.py"), allowed) == []


def test_set_up_needs_nothing_but_python():
    def allowed(target: str, relative: bool) -> bool:
        top = target.split(".")[0]
        return top == "setup_steps" or (not relative and top in sys.stdlib_module_names)

    assert offences(sources("run.py", "setup_steps"), allowed) == []


def test_one_file_calls_the_hosts_patch_setters():
    def names(path: Path) -> Iterator[str]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                yield node.attr
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value  # getattr(model, "set_model_...")

    paths = sources("__init__.py", *sorted(name for name in OWN if (ROOT / name).is_dir()))
    callers = {str(path.relative_to(ROOT).as_posix()) for path in paths if any(map(SETTER.fullmatch, names(path)))}
    rival = "benchmarks/evidence/server_nodes/equisteer.py"  # in the evidence's server alone, in no archive
    assert callers == {"nodes/steering/patching.py", rival}


@pytest.mark.parametrize(
    ("file", "line", "target", "relative"),
    [
        ("nodes/x.py", "from ..respo_train import core", "respo_train.core", True),
        ("nodes/x.py", "from . import widgets", "nodes.widgets", True),
        ("nodes/x.py", "from ... import y", "...y", True),
        ("respo_train/core/x.py", "from ..trainer import Trainer", "respo_train.trainer.Trainer", True),
        ("nodes/x.py", "def f():\n    import comfy.utils", "comfy.utils", False),
    ],
)
def test_the_reader_of_imports(file, line, target, relative, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert list(imports(path)) == [(target, relative)]
