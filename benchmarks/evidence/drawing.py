"""Draws cells that are not there yet, through one server or several at a time."""

from __future__ import annotations

import os
import queue
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tqdm import tqdm

from benchmarks.comfy_server import ComfyServer

from .cells import Cell, Pictures, Store, put_together
from .graphs import SAVED, Graph

SAFETY, SAVE = "RespoSafety", "SaveImage"
KEPT_NODES = "100"  # results of nodes that the host keeps: the record of a prompt's every piece, for several methods
Open = Callable[[int], "Drawer"]


class Drawer:
    """A server that draws cells; use it in a `with` statement."""

    def __init__(self, folder: Path, modules: Path) -> None:
        # Servers beside each other must not fight for the cores; the host reads this when it starts.
        os.environ["OMP_NUM_THREADS"] = "1"
        extra = ["--disable-metadata", "--cache-lru", KEPT_NODES]
        self._server = ComfyServer(folder, model_folders={"respo": modules}, extra=extra)
        self._off: dict[str, bool] = {}
        self._runs = 0

    def __enter__(self) -> Drawer:
        self._server.__enter__()
        inputs = self._server.object_info()[SAFETY]["input"]
        # A switch that a graph does not name would be on, whatever safety modules this machine has.
        self._off = {name: False for name in inputs.get("optional", {}) if name.endswith(")")}
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop()

    def draw(self, cell: Cell) -> Pictures:
        """Draw all pictures of a cell."""
        parts = []
        for piece in cell.pieces:
            entry = self._server.run(self.prepared(piece.graph))
            for name, places in piece.saved:
                images = [np.asarray(image.convert("RGB")) for image in self._server.images(entry, name)]
                parts.append((places, np.stack(images)))
        shutil.rmtree(self._server.output / SAVED, ignore_errors=True)
        return put_together(cell.ask.count, parts)

    def seconds(self) -> float:
        """Return the seconds of one core that the server has used."""
        times = psutil.Process(self._server.pid).cpu_times()
        return float(times.user + times.system)

    def prepared(self, graph: Graph) -> Graph:
        """Return a piece's graph with what this server and this moment need."""
        self._runs += 1
        # Files of their own: the host does not save again what it remembers to have saved, and by now they are gone.
        more = {SAFETY: self._off, SAVE: {"filename_prefix": f"{SAVED}/{self._runs}"}}
        return {
            name: {**node, "inputs": {**node["inputs"], **_missing(node["inputs"], more.get(node["class_type"], {}))}}
            for name, node in graph.items()
        }


def _missing(inputs: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in more.items() if name not in inputs}


def draw_missing(cells: Sequence[Cell], store: Store, opened: Open, workers: int) -> int:
    """Draw every cell that is not in the store, and return how many there were; each is kept as soon as it is done.

    `opened(number)`: a drawer of its own for each worker. Cells of one prompt go to one drawer in their order, as the
    host keeps what the last prompt of its queue computed: the unmodified run is then recorded once for several methods.
    """
    missing = [cell for cell in {cell.signature: cell for cell in cells}.values() if store.load(cell) is None]
    jobs: queue.SimpleQueue[list[Cell]] = queue.SimpleQueue()
    for job in _by_prompt(missing).values():
        jobs.put(job)
    if missing:
        with tqdm(total=sum(cell.ask.count for cell in missing), unit="picture", desc="Drawing") as bar:
            count = min(workers, jobs.qsize())
            with ThreadPoolExecutor(count) as pool:
                done = [pool.submit(_work, opened, number, jobs, store, bar) for number in range(count)]
                try:
                    for one in done:
                        one.result()
                finally:
                    while not jobs.empty():  # one failed: the others end with the cell that they are at
                        jobs.get()
    return len(missing)


def _by_prompt(cells: Sequence[Cell]) -> Mapping[tuple[str, int], list[Cell]]:
    found: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.ask.prompt.text, cell.ask.count), []).append(cell)
    return found


def _work(opened: Open, number: int, jobs: queue.SimpleQueue[list[Cell]], store: Store, bar: tqdm) -> None:
    with opened(number) as drawer:
        while True:
            try:
                job = jobs.get_nowait()
            except queue.Empty:
                return
            for cell in job:
                store.save(cell, drawer.draw(cell))
                bar.update(cell.ask.count)
