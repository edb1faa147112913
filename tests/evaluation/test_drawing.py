"""Who draws what: several painters beside each other, and one that fails."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from respo_train.evaluation.cells import Cell, Store
from respo_train.evaluation.drawing import draw_missing
from respo_train.evaluation.protocol import Ask


class Painter:
    """Remembers what it drew; `fails_at`: the picture that breaks."""

    def __init__(self, log: list[str], fails_at: int = -1) -> None:
        self.log, self.fails_at = log, fails_at

    def __enter__(self) -> Painter:
        return self

    def __exit__(self, *error: object) -> None:
        self.log.append("closed")

    def draw(self, cell: Cell) -> Any:
        if len(self.log) == self.fails_at:
            raise RuntimeError("out of memory")
        self.log.append(f"{cell.about['method']}: {cell.ask.prompt}")
        return np.zeros((cell.count, 2, 2, 3), np.uint8)


def cell(number: int, method: str = "a") -> Cell:
    ask = Ask("work", "doctor", f"prompt {number}", 10 * number, 3)
    return Cell(ask, 0, 3, {"method": method, "seed": ask.seed}, None)


def test_workers_share_the_work(tmp_path: Path) -> None:
    store, logs = Store(tmp_path), [list[str](), list[str]()]
    cells = [cell(number) for number in range(6)]
    store.save(cells[2], np.zeros((3, 2, 2, 3), np.uint8))
    assert draw_missing([*cells, cells[0]], store, lambda number: Painter(logs[number]), workers=2) == 5
    drawn = Counter(line for log in logs for line in log)
    assert drawn == {**{f"a: prompt {number}": 1 for number in (0, 1, 3, 4, 5)}, "closed": 2}
    assert [log[-1] for log in logs] == ["closed"] * 2
    assert draw_missing(cells, store, lambda number: pytest.fail("opened"), workers=2) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_goes_on_after_a_failure(tmp_path: Path, workers: int) -> None:
    store, cells, logs = Store(tmp_path), [cell(number) for number in range(5)], [list[str](), list[str]()]
    with pytest.raises(RuntimeError, match="out of memory"):
        draw_missing(cells, store, lambda number: Painter(logs[number], fails_at=1), workers=workers)
    begun = [log for log in logs if log]  # the first may fail before the second thread has begun
    assert begun
    assert all(log[-1] == "closed" for log in begun)
    drawn = sum(line != "closed" for log in logs for line in log)
    assert drawn < 5
    assert draw_missing(cells, store, lambda number: Painter([]), workers=workers) == 5 - drawn
    assert all(store.state(one) == "good" for one in cells)


def test_a_prompts_cells_follow_each_other(tmp_path: Path) -> None:
    log: list[str] = []
    draw_missing([cell(0), cell(1), cell(0, "b"), cell(1, "b")], Store(tmp_path), lambda number: Painter(log))
    assert log == ["a: prompt 0", "b: prompt 0", "a: prompt 1", "b: prompt 1", "closed"]


def test_another_cells_file_is_not_believed(tmp_path: Path) -> None:
    store, one, other = Store(tmp_path), cell(0), cell(1)
    store.save(other, np.zeros((3, 2, 2, 3), np.uint8))
    for ending in ("npy", "json"):
        (tmp_path / f"{other.key}.{ending}").rename(tmp_path / f"{one.key}.{ending}")
    assert store.state(one) == "damaged"
