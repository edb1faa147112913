"""A running total's file: what an update costs, who else writes to it, and what a process that was killed leaves."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from respo_train.core.counting.fairness import report
from respo_train.core.counting.running_total import Total, from_text, new_of, to_text
from respo_train.core.counting.total_file import TotalFile
from respo_train.core.errors import RespoError
from respo_train.core.files import write

PAIRS = [("woman", "man"), ("man", "man"), ('"]', 'é"}}')]


def some(first: int, count: int) -> dict[str, tuple[str, str]]:
    return {f"{number:016x}": PAIRS[number % 3] for number in range(first, first + count)}


def stored(path: Path) -> Total:
    """What a process reads that knows nothing of the file."""
    file = TotalFile(path, {})
    file.read()
    return file.total


def work_of(update: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The lines of Python that an update runs, and the bytes that it reads and writes."""
    lines, moved = [0], [0]

    class Counted:
        def __init__(self, file: Any):
            self.file = file

        def __enter__(self) -> Any:
            self.file.__enter__()
            return self

        def __exit__(self, *raised: Any) -> None:
            self.file.__exit__(*raised)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def read(self, *size: int) -> bytes:
            data = self.file.read(*size)
            moved[0] += len(data)
            return bytes(data)

        def write(self, data: bytes) -> int:
            moved[0] += len(data)
            return int(self.file.write(data))

    def trace(_: Any, event: str, __: Any) -> Any:
        lines[0] += event == "line"
        return trace

    for module in (sys.modules["respo_train.core.files.header"], write):
        monkeypatch.setattr(
            module,
            "open",
            lambda *a, **k: Counted(open(*a, **k)),  # noqa: SIM115
            raising=False,
        )
    before = sys.gettrace()
    gc.collect()
    gc.disable()  # what it would finalise here was left by other tests
    sys.settrace(trace)
    try:
        update()
    finally:
        sys.settrace(before)
        gc.enable()
        monkeypatch.undo()
    return lines[0], moved[0]


def test_an_update_costs_the_same_whatever_was_counted_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = []
    for before in (50, 15_000):
        file = TotalFile(tmp_path / "total.json", {"node": "3"})
        file.add(some(0, before))

        def update(file: TotalFile = file, before: int = before) -> None:
            file.read()
            new, _ = new_of(file.total, list(some(before - 9, 18)), list(some(before - 9, 18).values()))
            assert len(new) == 9
            file.add(new)
            report("gender", ("woman", "man"), file.total.counts)

        update()  # what is only done once
        costs.append(work_of(partial(update, before=before + 9), monkeypatch))
        assert stored(file.path).pictures == some(0, before + 18)
    assert costs[0] == costs[1]


def test_the_file_is_as_it_was_always(tmp_path: Path) -> None:
    """Plain JSON of version 1, the same as if it was written at once; one of an older version is taken over."""
    path = tmp_path / "total.json"
    path.write_text(to_text(Total(some(0, 2), {"node": "3"})))
    file = TotalFile(path, {"node": "4"})
    file.read()
    for first in (2, 5, 8):
        file.add(some(first, 3))
    assert from_text(path.read_text()) == file.total
    assert path.read_text() == to_text(file.total)
    told = json.loads(path.read_text())
    assert (told["version"], list(told["about"]), told["about"]["node"]) == (1, ["id", "node"], "4")
    assert file.total.pictures == some(0, 11)


@given(st.lists(st.tuples(st.sampled_from("abn"), st.integers(0, 30), st.integers(0, 4)), max_size=12))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_processes_and_a_new_start(tmp_path: Path, steps: list[tuple[str, int, int]]) -> None:
    path, expected = tmp_path / "total.json", dict[str, tuple[str, str]]()
    path.write_text(to_text(Total()))
    files = {name: TotalFile(path, {}) for name in "ab"}
    for who, first, count in steps:
        if who == "n":  # somebody starts it anew, with a file of any length
            expected = some(first, count)
            TotalFile(path, {}).add(expected)
            continue
        files[who].read()
        new, _ = new_of(files[who].total, list(some(first, count)), list(some(first, count).values()))
        assert new.keys() == some(first, count).keys() - expected.keys()
        files[who].add(new)
        expected = {**expected, **new}
        assert stored(path).pictures == files[who].total.pictures == expected
        assert stored(path).counts == files[who].total.counts


@pytest.mark.parametrize("known", [True, False])
def test_a_kill_loses_at_most_what_was_being_written(tmp_path: Path, known: bool) -> None:
    path = tmp_path / "total.json"
    file = TotalFile(path, {})
    file.add(some(0, 3))
    before = path.read_bytes()
    TotalFile.read(other := TotalFile(path, {}))
    other.add(some(3, 2))
    after = path.read_bytes()
    for end in range(len(before) - 2, len(after)):
        path.write_bytes(after[:end])
        found = file if known else TotalFile(path, {})
        found.read()
        assert list(found.total.pictures) in [list(some(0, n)) for n in (3, 4, 5)], end
        found.add(some(7, 1))
        assert stored(path).pictures == found.total.pictures
        path.write_bytes(before)
        file = TotalFile(path, {})
        file.read()


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "total.json"
    file = TotalFile(path, {})
    file.add(some(0, 3))
    before = path.read_bytes()
    real, left = write._write_all, [1]

    def full(opened: Any, place: int, data: bytes) -> None:
        if left.pop() if left else 0:
            real(opened, place, data[:7])
            raise OSError(28, "No space left on device")
        real(opened, place, data)

    monkeypatch.setattr(write, "_write_all", full)
    with pytest.raises(RespoError, match="No space left on device"):
        file.add(some(3, 2))
    assert path.read_bytes() == before


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim.json", tmp_path / "total.json"
    TotalFile(victim, {}).add(some(0, 3))
    before = victim.read_bytes()
    os.symlink(victim, path)
    file = TotalFile(path, {})
    file.read()
    file.add(some(3, 1))
    assert victim.read_bytes() == before
    assert stored(path).pictures == some(0, 4)


def test_what_has_another_end_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    with pytest.raises(RespoError, match="another program has changed it"):
        write.put_at_end(path, b"}}", b"x}}")
    assert path.read_bytes() == b"abc"


@given(st.binary(max_size=60) | st.text(max_size=20).map(str.encode))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_end_is_read_or_refused(tmp_path: Path, more: bytes) -> None:
    path = tmp_path / "total.json"
    file = TotalFile(path, {})
    file.add(some(0, 3))
    path.write_bytes(path.read_bytes()[:-2] + more)
    try:
        file.read()
    except RespoError:
        return
    assert {**file.total.pictures, **some(0, 3)} == file.total.pictures
