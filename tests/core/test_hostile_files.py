"""A sample of the hostile files, through everything that reads files.

`python -m benchmarks.hostile_files` sends all. The files of other projects are built here in their released shapes: the
released ones cannot be had.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from benchmarks.hostile import commands
from benchmarks.hostile.entries import ENTRIES, KINDS, ROOT
from benchmarks.hostile.explore import Tally, Verdict
from benchmarks.hostile.known import LINKS, HostileFile, good_files
from benchmarks.hostile.reading import clear
from benchmarks.hostile.right_file import check_archive, check_module
from benchmarks.hostile_files import Attack
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.foreign.read import read_file
from setup_steps.commands import COMMANDS

SAMPLE = 4  # files of each share
GENEROUS = 10.0  # seconds of the processor, on whatever machine this runs

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has links, pipes and these limits")


@pytest.fixture(scope="module")
def attacked(comfy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    with Attack(tmp_path_factory.mktemp("files"), GENEROUS) as attack:
        attack.run(SAMPLE * sum(kind.share for kind in KINDS.values()))
        yield attack


@linux
def test_every_file_is_read_right_or_refused(attacked: Attack) -> None:
    tally = attacked.tally
    assert tally.failures == []
    assert attacked.reader.starts == 1
    assert set(tally.kinds) == set(ENTRIES)
    assert {kind for kinds in tally.kinds.values() for kind in kinds} == {"read", "refused"}
    assert 0 < attacked.largest < 2**30


@linux
def test_good_files_are_read(attacked: Attack) -> None:
    for name, entry in ENTRIES.items():
        own = [file for file in good_files() if file.kind in entry.kinds]
        assert any(attacked.ask(file)[name].kind == "read" for file in own), name


# What opens a file or parses what a file holds; in nodes/ also what reads modules.
READS = re.compile(
    r"(^|\.)(open|opened|safe_open|load_file|read_bytes|read_text|loads|DictReader|read_string|genops|from_pretrained)$"
    r"|^(np|torch|json|pickle|safetensors\.torch)\.load$|^zipfile\.ZipFile$"
)
NODE_READS = re.compile(r"(^|\.)(load_attribute|read_file|read_metadata|file_sha256|resolve\w*|get_full_path\w*)$")
# Functions that need no entry, and why.
NO_ENTRY = {
    "judges/face_networks.py: __init__": "a package's own files, by read_text",
    "shared/shipped.py: _hashed": "a hash alone",
    "evaluation/drawing.py: draw_missing": "opens a painter, no file",
    "evaluation/drawing.py: work": "opens a painter, no file",
    "evaluation/on_disk.py: _open": "its hash was compared by `state`",
    "files/write.py: _abandoned": "opens a file to lock it, and reads nothing",
    "files/write.py: put_at_end": "reads two brackets of what its caller has just read under a lock",
    "report/page.py: _content": "what this run has written",
    "nodes/safety.py: fingerprint_inputs": "a hash alone",
    "nodes/safety.py: edits_of": "the reader of modules, which has an entry",
    "nodes/safety.py: require_known": "asks only where a module is",
    "nodes/train_module.py: picture": "what this run has written",
    "training/progress.py: _show": "what this run has written",
    "training/run.py: _is_finished": "the reader of modules, which has an entry",
    "shared/folders.py: shows_checkpoint": "the host's own settings",
}


def readers() -> Iterator[tuple[str, str]]:
    """Yield file and name of each function that reads files."""
    for folder in ("respo_train", "nodes"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    continue
                calls = [ast.unparse(call.func) for call in ast.walk(function) if isinstance(call, ast.Call)]
                if any(READS.search(call) or (folder == "nodes" and NODE_READS.search(call)) for call in calls):
                    yield str(path.relative_to(ROOT)), function.name


# What opens a file by its path without waiting for a pipe or a device: each of these asks `opened` before.
RAW = re.compile(r"(^|\.)(read_bytes|read_text|safe_open|load_file|from_file)$|^open$|\.open$|^(np|torch)\.load$")
OPENS_ITSELF = {
    "respo_train/core/files/header.py: _without_waiting": "of opened, which the others ask",
    "respo_train/core/files/header.py: opened": "the same",
    "respo_train/core/files/write.py: _abandoned": "a regular file of our own, asked by lstat",
    "respo_train/core/files/write.py: _put_new": "makes the file",
    "respo_train/core/files/write.py: put_at_end": "to write as well, which waits for nobody; its caller has read it",
    "respo_train/core/files/write.py: replacing": "makes the file",
    "respo_train/core/foreign/unpickle.py: _tensors": "no file, but bytes",
    "respo_train/evaluation/protocol.py: read_protocol": "ships with us",
}


def test_nothing_is_opened_that_could_be_a_pipe() -> None:
    found = set()
    for path in sorted(path for folder in ("respo_train", "nodes") for path in (ROOT / folder).rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                calls = [ast.unparse(call.func) for call in ast.walk(function) if isinstance(call, ast.Call)]
                raw = [call for call in calls if RAW.search(call) and call not in ("read_text", "self.open")]
                if raw and not {"opened", "read_text"} & set(calls):
                    found.add(f"{path.relative_to(ROOT)}: {function.name}")
    assert found == set(OPENS_ITSELF)


@linux
def test_whatever_reads_files_has_an_entry(attacked: Attack) -> None:
    missing = [f"{file}: {name}" for file, name in readers() if (file, name) not in attacked.reader.reached]
    needless = {one for one in NO_ENTRY if not any(found.endswith(one) for found in missing)}
    assert ([found for found in missing if not found.endswith(tuple(NO_ENTRY))], needless) == ([], set())


# Options for a file that need no entry of a command's own, and why.
NO_COMMAND = {
    "evaluate --csv": "read once the model is loaded, by a reader that has an entry",
    "evaluate --real": "the same",
    "evaluate --judge": "a folder, whose reader has an entry",
    "audit --judge": "the same",
    **{f"{command} --out": "written, not read" for command in ("train", "evaluate", "audit", "import", "export")},
    **{
        f"{command} --{model}": "a checkpoint, which the host reads"
        for command in ("train", "plan", "resume", "evaluate")
        for model in ("checkpoint", "unet", "clip", "vae")
        if (command, model) != ("plan", "checkpoint")
    },
}


def test_whatever_takes_a_file_at_the_command_line_has_an_entry() -> None:
    found = {
        f"{command} {(action.option_strings or [action.dest])[0]}"
        for command, parser in commands.subcommands().items()
        for action in parser._actions
        if action.type is Path or action.dest in ("preset", "judge")
    }
    assert set(commands.FILES) | set(NO_COMMAND) == found
    assert not set(commands.FILES) & set(NO_COMMAND)


MAIN = 'if __name__ == "__main__":'


def test_every_program_has_an_entry() -> None:
    places = [
        ROOT / "run.py",
        *(path for name in ("respo_train", "benchmarks") for path in (ROOT / name).rglob("*.py")),
    ]
    mains = {path.relative_to(ROOT).as_posix() for path in places if MAIN in path.read_text(encoding="utf-8")}
    ours = {path for path in mains if not path.startswith("benchmarks/") or path.startswith("benchmarks/demo/")}
    assert ours == {"run.py", "respo_train/__main__.py", "benchmarks/demo/__main__.py"}
    words = {name.removeprefix("words to ") for name, entry in ENTRIES.items() if entry.kinds == ("words",)}
    assert {"run.py", "respo_train", "the demo"} < words
    assert {f"respo_train {name}" for name in commands.subcommands()} < words
    assert {f"run.py {name}" for name in COMMANDS} < words


def test_pytorch_reads_weights_only() -> None:
    """plan.py refuses programs before PyTorch sees them, so that no file shows whether PyTorch would, too."""
    for folder in ("respo_train", "nodes", "emoji_world"):
        for path in (ROOT / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "torch.load":
                    assert "weights_only=True" in ast.unparse(call), path


@pytest.mark.parametrize("file", good_files()[:9], ids=lambda file: f"{file.kind} {len(file.data)}")
def test_what_is_read_wrongly_is_noticed(file: HostileFile, tmp_path: Path) -> None:
    path = file.place(tmp_path)
    found: Any = load_attribute(path) if file.kind == "module" else read_file(path)
    check: Any = check_module if file.kind == "module" else check_archive
    check(path, found)
    attribute = found if file.kind == "module" else found.attribute
    part = next(iter(attribute.concepts.values())).responsible
    with torch.no_grad():
        next(iter(part.parameters())).view(-1)[-1] += 1e-3
    with pytest.raises(AssertionError):
        check(path, found)


class Stub:
    """Stands for the process: answers as it is told, and may leave something behind."""

    def __init__(self, folder: Path, answer: Any, leaves: str | None):
        self.folder, self.answer, self.leaves = folder, answer, leaves

    def read(self, path: Path, entries: list[str]) -> Any:
        if self.leaves is not None:
            (self.folder / self.leaves).touch()
        return self.answer


def answer(kind: str, seconds: float = 0.1, memory: int = 1000) -> dict[str, Any]:
    return {"reader": (Verdict(kind), seconds, memory)}


@pytest.mark.parametrize(
    ("answered", "leaves", "kind"),
    [
        (answer("refused"), None, None),
        (None, None, "crash or hang"),
        (answer("defect"), None, "defect"),
        (answer("read wrongly"), None, "read wrongly"),
        (answer("read", seconds=1.5), None, "slow"),
        (answer("refused", memory=2**30 + 1), None, "large"),
        (answer("refused"), "more.safetensors", "left behind"),
        (answer("refused"), "../escaped", "left behind"),
    ],
)
def test_each_failure_is_noticed(tmp_path: Path, answered: Any, leaves: str | None, kind: str | None) -> None:
    attack = Attack(tmp_path)
    attack.reader = Stub(attack.folder, answered, leaves)  # type: ignore[assignment]
    attack.tally.explore([HostileFile("archive", "good", b"x")], st.nothing(), 0, attack.ask)
    assert [kind in found for found in attack.tally.failures] == ([] if kind is None else [True])


def test_the_smallest_example_that_fails_is_kept() -> None:
    def ask(number: int) -> dict[str, Verdict]:
        return {"reader": Verdict("read" if number < 100 else "defect")}

    tally, again = Tally(), Tally()
    for one in (tally, again):
        one.explore([3], st.integers(0, 300), 50, ask)
    assert [found.split()[0] for found in tally.failures] == ["100"]
    assert again == tally


@linux
@pytest.mark.parametrize("link", sorted(LINKS))
def test_links_are_placed_and_cleared(tmp_path: Path, link: str) -> None:
    path = HostileFile("module", "link", link=link).place(tmp_path)
    assert path.is_symlink() or path.exists()
    assert clear(tmp_path) == [path.name]
    assert list(tmp_path.iterdir()) == []
