"""Every file that we write is written by respo_train/core/files/write.py: found in the source without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("__init__.py", "run.py", "nodes", "respo_train", "emoji_world", "benchmarks", "setup_steps")
HERE = "respo_train/core/files/write.py"
# Calls that write to a path, and calls that write to a path or an open file: those must be given the latter.
BY_PATH = re.compile(
    r"\.(write_text|write_bytes|touch|symlink_to|open_memmap|rename)$|(^|\.)save_file$|^shutil\.(copy\w*|move)$"
)
BY_PATH_OR_FILE = re.compile(r"(^|\.)(save|savez\w*|savetxt|savefig|imsave|imwrite|tofile|to_csv|dump)$")
OPENS = re.compile(r"(^|\.)(open|fdopen|mkstemp|NamedTemporaryFile|ZipFile|TarFile)$")
OPEN_FILE = re.compile(r"data|drawn|file|buffer|clean")  # the names that open files have among us
# Not to be taken for a library's: safetensors' returns bytes, and these are our own.
OWN = re.compile(r"safetensors\.torch\.save|save|(chart|curves|done|pictures|run|self|sheet|store)\.save")
# Where a file is written otherwise: how many calls, and why.
SANDBOX = "hostile files, in a folder that nobody else has"
EARLY = "set up works with the standard library alone, before anything is installed"
EXCEPT = {
    "nodes/shared/totals.py": (1, "sets a broken file aside, under the lock"),
    "emoji_world/dataset.py": (2, "larger than memory; pictures.json, written last, says that they are complete"),
    "emoji_world/train_transformer.py": (1, "filled in place under a lock; NaN where nothing is yet"),
    "benchmarks/comfy_server.py": (1, "the log of a server"),
    "benchmarks/evidence/training.py": (1, "the log of another process"),
    "benchmarks/hostile/commands.py": (1, SANDBOX),
    "benchmarks/hostile/corpus.py": (3, SANDBOX),
    "benchmarks/hostile/files.py": (4, SANDBOX),
    "benchmarks/hostile/readers.py": (1, SANDBOX),
    "benchmarks/hostile/workflows.py": (6, SANDBOX),
    "setup_steps/environment.py": (2, EARLY),
    "setup_steps/host.py": (3, EARLY),
    "setup_steps/package.py": (1, EARLY),
}


def writes(path: Path) -> Iterator[str]:
    """Yield the calls in a file that write a file."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        name = ast.unparse(call.func)
        if (
            BY_PATH.search(name)
            or (BY_PATH_OR_FILE.search(name) and not OWN.fullmatch(name) and not _to_open_file(call))
            or (OPENS.search(name) and _opens_to_write(name, call))
        ):
            yield f"line {call.lineno}: {ast.unparse(call)[:100]}"


def _to_open_file(call: ast.Call) -> bool:
    return any(isinstance(one, ast.Name) and OPEN_FILE.fullmatch(one.id) for one in call.args)


def _opens_to_write(name: str, call: ast.Call) -> bool:
    if name.endswith(("mkstemp", "NamedTemporaryFile")):
        return True
    if name.endswith(("ZipFile", "TarFile")) and _to_open_file(call):
        return False
    given = [*call.args, *(one.value for one in call.keywords if one.arg == "mode")]
    modes = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return any(
        re.fullmatch(r"[rwaxbt+]+", mode) and set(mode) & set("wax+") for mode in modes
    ) or "os.O_" in ast.unparse(call)


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from [ROOT / folder] if folder.endswith(".py") else sorted((ROOT / folder).rglob("*.py"))


def test_every_file_is_written_in_one_place() -> None:
    found = {path.relative_to(ROOT).as_posix(): list(writes(path)) for path in sources()}
    assert found.pop(HERE)
    counts = {name: len(calls) for name, calls in found.items() if calls}
    allowed = {name: count for name, (count, _) in EXCEPT.items()}
    assert counts == allowed, {name: calls for name, calls in found.items() if len(calls) != allowed.get(name, 0)}


@pytest.mark.parametrize(
    "line",
    [
        'open(path, "w")',
        'path.open("ab")',
        'open(file, "w")',
        'open(path, mode="x")',
        'open(path, "r+b")',
        "os.open(path, os.O_WRONLY)",
        "path.write_text(text)",
        "path.write_bytes(data)",
        "save_file(state, path)",
        "torch.save(state, path)",
        "image.save(path)",
        'image.save(folder / "a.png", optimize=True)',
        "np.save(path, array)",
        'np.lib.format.open_memmap(path, "w+")',
        "figure.savefig(path)",
        "json.dump(value, open(path))",
        'zipfile.ZipFile(path, "w")',
        "shutil.copyfile(one, other)",
    ],
)
def test_the_scan_finds(line: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(line)
    assert len(list(writes(tmp_path / "x.py"))) == 1


@pytest.mark.parametrize(
    "line",
    [
        'open(path, "rb")',
        "path.open()",
        "image.save(data)",
        "np.save(file, array)",
        "store.load(cell)",
        "webbrowser.open(url)",
    ],
)
def test_the_scan_leaves(line: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(line)
    assert list(writes(tmp_path / "x.py")) == []
