"""A sample of the hostile files, through everything that reads files; `python -m benchmarks.hostile files` sends all.

What reads files and is not among them is found here. The files of other projects are made in their released shapes: the
released ones cannot be had.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.hostile import commands, right
from benchmarks.hostile.corpus import ROOT, SHARES, HostileFile, corpus, good
from benchmarks.hostile.files import Files
from benchmarks.hostile.readers import READERS
from benchmarks.hostile.tally import GOOD
from respo_train.__main__ import _parser as trainer_parser
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.foreign.read import read_file
from setup_steps.commands import COMMANDS

SAMPLE = 4  # files of each share
GENEROUS = 10.0  # seconds, on whatever machine this runs
EXEMPT = corpus("exempt")

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has links, pipes and these limits")


@pytest.fixture(scope="module")
def files(comfy_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    with Files(tmp_path_factory.mktemp("files"), seconds=GENEROUS) as started:
        yield started


@linux
def test_every_file_is_read_right_or_refused(files: Files) -> None:
    tally = files.run(SAMPLE * sum(SHARES.values()))
    assert tally.failures == []
    assert tally.more["starts"] == 1
    assert set(tally.kinds) == set(READERS)
    assert {kind for kinds in tally.kinds.values() for kind in kinds} == {"read", "refused"}
    assert 0 < tally.more["largest_bytes"] < 2**30


@linux
def test_good_files_are_read(files: Files) -> None:
    for name, reader in READERS.items():
        own = [HostileFile(kind, "good", data=data) for kind in reader.kinds for data in good(kind)]
        assert any(files.ask(file)[name].kind == "read" for file in own), name


def calls_of(*folders: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the file, the name and the calls of each function of ours."""
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                calls = [ast.unparse(call.func) for call in ast.walk(function) if isinstance(call, ast.Call)]
                yield path.relative_to(ROOT).as_posix(), function.name, calls


# What opens a file or parses what a file holds; in nodes/ also what reads modules.
READS = re.compile(
    r"(^|\.)(open|opened|safe_open|load_file|read_bytes|read_text|loads|DictReader|read_string|genops|from_pretrained)$"
    r"|^(np|torch|json|pickle|safetensors\.torch)\.load$|^zipfile\.ZipFile$"
)
NODE_READS = re.compile(r"(^|\.)(load_attribute|read_file|read_metadata|file_sha256|resolve\w*|get_full_path\w*)$")


@linux
def test_whatever_reads_files_has_an_entry(files: Files) -> None:
    found = {
        f"{file}: {name}"
        for file, name, calls in calls_of("respo_train", "nodes")
        if any(READS.search(call) or (file.startswith("nodes/") and NODE_READS.search(call)) for call in calls)
        and (file, name) not in files.reached
    }
    known = EXEMPT["reads files and needs no entry"]
    assert [one for one in found if not one.endswith(tuple(known))] == []
    assert [one for one in known if not any(other.endswith(one) for other in found)] == []


# What opens a file by its path without waiting for a pipe or a device: each of these asks `opened` before.
RAW = re.compile(r"(^|\.)(read_bytes|read_text|safe_open|load_file|from_file)$|^open$|\.open$|^(np|torch)\.load$")


def test_nothing_is_opened_that_could_be_a_pipe() -> None:
    found = {
        f"{file}: {name}"
        for file, name, calls in calls_of("respo_train", "nodes")
        if any(RAW.search(call) and call not in ("read_text", "self.open") for call in calls)
        and not {"opened", "read_text"} & set(calls)
    }
    assert found == set(EXEMPT["opens a file by itself"])


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the trainer's commands."""
    actions = trainer_parser()._actions
    return next(dict(one.choices) for one in actions if isinstance(one, argparse._SubParsersAction))


def test_whatever_takes_a_file_at_the_command_line_has_an_entry() -> None:
    found = [
        f"{command} {(action.option_strings or [action.dest])[0]}"
        for command, parser in parsers().items()
        for action in parser._actions
        if action.type is Path or action.dest in ("preset", "judge")
    ]
    assert sorted([*commands.FILES, *corpus("commands")["not tried, and why"]]) == sorted(set(found))


def test_every_program_has_an_entry() -> None:
    places = [
        ROOT / "run.py",
        *(path for name in ("respo_train", "benchmarks") for path in (ROOT / name).rglob("*.py")),
    ]
    mains = {
        path.relative_to(ROOT).as_posix() for path in places if '__name__ == "__main__"' in path.read_text("utf-8")
    }
    ours = {path for path in mains if not path.startswith("benchmarks/") or path.startswith("benchmarks/demo/")}
    assert ours == {"run.py", "respo_train/__main__.py", "benchmarks/demo/__main__.py"}
    programs = {"run.py", "respo_train", "demo", *(f"run.py {name}" for name in COMMANDS)}
    programs |= {f"respo_train {name}" for name in parsers()}
    assert programs == set(corpus("commands")["words"])


def test_pytorch_reads_weights_only() -> None:
    """plan.py refuses programs before PyTorch sees them, so that no file shows whether PyTorch would, too."""
    for folder in ("respo_train", "nodes", "emoji_world"):
        for path in (ROOT / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "torch.load":
                    assert "weights_only=True" in ast.unparse(call), path


@pytest.mark.parametrize(
    ("kind", "number"), [(kind, n) for kind, most in (("module", 4), ("archive", 5)) for n in range(most)]
)
def test_what_is_read_wrongly_is_noticed(kind: str, number: int, tmp_path: Path) -> None:
    path = HostileFile(kind, "good", data=good(kind)[number]).place(tmp_path)
    found: Any = load_attribute(path) if kind == "module" else read_file(path)
    check: Any = right.module if kind == "module" else right.archive
    check(path, found)
    attribute = found if kind == "module" else found.attribute
    part = next(iter(attribute.concepts.values())).responsible
    with torch.no_grad():
        next(iter(part.parameters())).view(-1)[-1] += 1e-3
    with pytest.raises(AssertionError):
        check(path, found)


@linux
def test_each_failure_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.hostile.files.PATIENCE", 3.0)
    found = {}
    with Files(tmp_path, "misreading:one_reader") as files:
        for word in ("bare", "refuse", "crash", "wait", "slow", "large", "more", "out", "fine"):
            verdicts = files.ask(HostileFile("total", "word", data=word.encode()))
            found[word] = next((one for one in verdicts.values() if one.kind not in GOOD), verdicts.get("reader")).kind
            (tmp_path / "out").unlink(missing_ok=True)
    bad = {"bare": "defect", "crash": "crash", "wait": "hang", "slow": "slow", "large": "large", "more": "left behind"}
    assert found == {**bad, "out": "left behind", "refuse": "refused", "fine": "read"}
    assert files.starts == 3


@linux
def test_memory_of_who_starts_the_process_does_not_count(tmp_path: Path) -> None:
    held = b"1" * (700 << 20)
    with Files(tmp_path, "misreading:one_reader") as files:
        verdicts = files.ask(HostileFile("total", "word", data=b"fine"))
    assert held
    assert verdicts["reader"].kind == "read"


@linux
def test_a_reader_that_dies_at_its_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match=r"ended with status 3 before it was ready.*\nno host"),
        Files(tmp_path, "misreading:no_reader"),
    ):
        pass
