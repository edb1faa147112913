"""Draws cells by a real server: each cell's graphs, one after the other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.comfy_server import ComfyServer, Pictures
from respo_train.evaluation.cells import Cell

from .graphs import SAVED, Graph

SAFETY, SAVE = "RespoSafety", "SaveImage"
OWN_NODES = Path(__file__).resolve().parent / "server_nodes"
KEPT_NODES = "100"  # results of nodes that the host keeps: the record of a prompt's every piece, for several methods


class Drawer:
    """A server that draws cells whose `work` are Pieces; use it in a `with` statement."""

    def __init__(self, folder: Path, modules: Path) -> None:
        # Servers beside each other must not fight for the cores; the host reads this when it starts.
        os.environ["OMP_NUM_THREADS"] = "1"
        extra = ["--disable-metadata", "--cache-lru", KEPT_NODES]
        folders = {"respo": modules}
        self._server = ComfyServer(folder, model_folders=folders, extra=extra, more_nodes=OWN_NODES)
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
        for piece in cell.work:
            entry = self._server.run(self.prepared(piece.graph))
            for name, places in piece.saved:
                parts.append((places, self._server.pictures(entry, name)))
        shutil.rmtree(self._server.output / SAVED, ignore_errors=True)
        return put_together(cell.count, parts)

    def seconds(self) -> float:
        """Return the seconds of one core that the server has used."""
        times = psutil.Process(self._server.pid).cpu_times()
        return float(times.user + times.system)

    def prepared(self, graph: Graph) -> Graph:
        """Return a piece's graph with what this server and this moment need."""
        self._runs += 1
        # Files of their own: the host does not save again what it remembers to have saved, and by now they are gone.
        more: dict[str, Mapping[str, Any]] = {SAFETY: self._off, SAVE: {"filename_prefix": f"{SAVED}/{self._runs}"}}
        return {
            name: {**node, "inputs": {**more.get(node["class_type"], {}), **node["inputs"]}}
            for name, node in graph.items()
        }


def put_together(count: int, parts: Sequence[tuple[Sequence[int], Pictures]]) -> Pictures:
    """Put pieces' pictures in their places. Raises ValueError unless each of `count` places is filled just once."""
    places = [index for indices, _ in parts for index in indices]
    found = np.concatenate([pictures for _, pictures in parts])
    if sorted(places) != list(range(count)) or len(found) != count:
        raise ValueError(f"expected {count} pictures, each once, found {len(found)} for the places {places}")
    whole = np.empty_like(found)
    whole[places] = found
    return whole
