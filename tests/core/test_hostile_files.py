"""A sample of the hostile files, through reader, importer and the host's nodes.

`python -m benchmarks.hostile_files` sends all. The files of other projects are built here in their released shapes: the
released ones cannot be had.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import hostile_files
from benchmarks.hostile.files import ARCHIVE, ARCHIVES, MODULE, MODULES, HostileFile, good_files, hostile_file
from benchmarks.hostile.right_file import check_archive, check_module
from benchmarks.hostile_files import Tally, attack, clear
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.foreign.read import read_file

SAMPLE = 500
GENEROUS = 10.0  # seconds of the processor, on whatever machine this runs
READERS = {"reader", "metadata", "importer", "load node", "import node"}

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has links, pipes and these limits")


@linux
def test_every_file_is_read_right_or_refused(comfy_path: Path) -> None:
    good = [(-1 - number, file) for number, file in enumerate(good_files())]
    tally = attack([*good, *((number, hostile_file(number)) for number in range(SAMPLE))], GENEROUS)
    assert tally.failures == {}
    assert (tally.failed, tally.starts) == (0, 1)
    assert set(tally.kinds) == READERS
    for reader, kinds in tally.kinds.items():
        assert set(kinds) == {"read", "refused"}, reader
        assert sum(kinds.values()) == SAMPLE + len(good)
        assert kinds["read"] >= len(good) // 2
    assert set(tally.ways) >= {mutation.__name__ for mutation in (*MODULES, *ARCHIVES)}
    assert 0 < tally.largest[0] < 2**30


@pytest.mark.parametrize("number", range(40))
def test_a_number_is_always_the_same_file(number: int) -> None:
    assert hostile_file(number) == hostile_file(number)


@pytest.mark.parametrize("file", good_files(), ids=lambda file: f"{file.name} {len(file.data)}")
def test_what_is_read_wrongly_is_noticed(file: HostileFile, tmp_path: Path) -> None:
    path = file.place(tmp_path)
    found = load_attribute(path) if file.name == MODULE else read_file(path)
    check: Any = check_module if file.name == MODULE else check_archive
    check(path, found)
    attribute = found if file.name == MODULE else found.attribute
    part = next(iter(attribute.concepts.values())).responsible
    with torch.no_grad():
        next(iter(part.parameters())).view(-1)[-1] += 1e-3
    with pytest.raises(AssertionError):
        check(path, found)


class Stub:
    """Stands for the worker: answers as it is told, and may leave something behind."""

    answer: Any = None
    leaves: str | None = None
    starts = 1

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self) -> Stub:
        (self.folder.parent / "worker.log").touch()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, path: Path, concepts: str | None) -> Any:
        if self.leaves is not None:
            (self.folder / self.leaves).touch()
        return self.answer


def good_answer(**changes: Any) -> dict[str, Any]:
    return {"readers": {"reader": ["refused", "no", 0.1]}, "memory": 1000} | changes


@pytest.mark.parametrize(
    ("answer", "leaves", "kind"),
    [
        (good_answer(), None, None),
        ("hang", None, "hang"),
        ("crash", None, "crash"),
        (good_answer(readers={"reader": ["defect", "KeyError: 'a'", 0.1]}), None, "defect"),
        (good_answer(readers={"reader": ["read", "", 1.5]}), None, "slow"),
        (good_answer(memory=2**30 + 1), None, "large"),
        (good_answer(), "more.safetensors", "left behind"),
        (good_answer(), "../escaped", "left behind"),
    ],
)
def test_each_failure_is_noticed(monkeypatch, answer: Any, leaves: str | None, kind: str | None) -> None:
    monkeypatch.setattr(Stub, "answer", answer)
    monkeypatch.setattr(Stub, "leaves", leaves)
    monkeypatch.setattr(hostile_files, "Worker", Stub)
    tally: Tally = attack([(7, HostileFile(ARCHIVE, "good", b"x"))])
    assert [found for _, found, _ in tally.failures] == ([] if kind is None else [kind])
    assert tally.failed == len(tally.failures)
    if kind is not None:
        assert next(iter(tally.failures.values()))[0] == 7


@linux
@pytest.mark.parametrize("link", ["folder", "loop", "nowhere", "outside", "pipe", "device"])
def test_links_are_placed_and_cleared(tmp_path: Path, link: str) -> None:
    path = HostileFile(MODULE, "link", link=link).place(tmp_path)
    assert path.is_symlink() or path.exists()
    assert clear(tmp_path) == [MODULE]
    assert list(tmp_path.iterdir()) == []
