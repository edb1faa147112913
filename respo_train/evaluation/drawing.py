"""Draws the cells that are not there yet, whoever draws: the trainer's own sampler, or servers beside each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..team import ALONE, Team
from .cells import Cell, Store


class Painter(Protocol):
    """Who draws."""

    def draw(self, cell: Cell) -> NDArray[np.uint8]:
        """Return the pictures of a cell, `[N, H, W, 3]` 0 … 255."""


# A worker's number -> a painter of its own, which is open while it draws.
Open = Callable[[int], AbstractContextManager[Painter]]


def draw_missing(
    cells: Sequence[Cell],
    store: Store,
    opened: Open,
    *,
    workers: int = 1,
    team: Team = ALONE,
    say: Callable[[str], None] = print,
) -> int:
    """Draw what is missing of `cells`, each cell once even if it is listed twice; return how many were drawn.

    Every process of the team draws its share, by `workers` threads with a painter each, and returns when all are done.
    A thread draws the cells of one prompt one after the other: what a server computed for the first serves the next.
    Each cell is kept as soon as it is drawn, so Ctrl-C and errors lose those in the making, nothing else.
    """
    todo = _missing(cells, store, say if team.leads else lambda _: None)
    team.agree(False)  # nobody may draw before everybody has seen what is missing
    own = todo[team.rank :: team.size]
    jobs = deque(_by_prompt(own))
    with tqdm(total=sum(cell.count for cell in own), desc="drawing", unit="picture", disable=not team.leads) as bar:

        def work(number: int) -> None:
            try:
                with opened(number) as painter:
                    while job := _next(jobs):
                        for cell in job:
                            store.save(cell, painter.draw(cell))
                            bar.update(cell.count)
            finally:
                jobs.clear()  # after an error the others end with the prompt that they are at

        threads = min(workers, len(jobs))
        if threads == 1:
            work(0)  # in this thread, which Ctrl-C reaches at once
        elif threads:
            with ThreadPoolExecutor(threads) as pool:
                try:
                    list(pool.map(work, range(threads)))
                finally:
                    jobs.clear()
    team.agree(False)
    return len(todo)


def _missing(cells: Sequence[Cell], store: Store, say: Callable[[str], None]) -> list[Cell]:
    found: list[Cell] = []
    different = {cell.key: cell for cell in cells}.values()
    for cell in tqdm(different, desc="looking at what is there", unit="cell", leave=False, delay=5):
        state = store.state(cell)
        if state == "damaged":
            say(f"a cell of {cell.ask.prompt[:80]!r} is damaged and is drawn again")
        if state != "good":
            found.append(cell)
    return found


def _next(jobs: deque[list[Cell]]) -> list[Cell]:
    try:
        return jobs.popleft()
    except IndexError:  # another thread took the last one
        return []


def _by_prompt(cells: Sequence[Cell]) -> list[list[Cell]]:
    found: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.ask.prompt, cell.count), []).append(cell)
    return list(found.values())
