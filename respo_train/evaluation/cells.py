"""Pictures on disk, in cells of a few: what is there is never drawn again, and what is damaged is.

A cell is `<key>.npy`, the pictures, and `<key>.json`, written last: all that they depend on, and the hash of the first.
The key is made of all that they depend on, so other settings make other cells and nothing old is ever overwritten.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RespoError
from ..core.files.checkpoint import file_sha256, write_atomically
from .protocol import Ask
from .steering import Act

CELL = 16  # pictures: what a kill can lose


@dataclass(frozen=True)
class Cell:
    """Some pictures of one prompt, those with the numbers `first`, `first + 1`, …; one act for each."""

    ask: Ask
    first: int
    acts: tuple[Act, ...]

    @property
    def seeds(self) -> range:
        """The seed of each picture."""
        return range(self.ask.seed + self.first, self.ask.seed + self.first + len(self.acts))


def cells_of(ask: Ask, acts: list[Act]) -> list[Cell]:
    """Cut a prompt's pictures into cells. More pictures make more cells, but leave full ones as they are."""
    return [Cell(ask, first, tuple(acts[first : first + CELL])) for first in range(0, len(acts), CELL)]


class Store:
    """The folder with the cells. `about`: all that a cell's pictures depend on."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RespoError(f"cannot make the folder {folder}: {error.strerror or error}.") from error

    def state(self, about: Mapping[str, Any]) -> str:
        """Return "good", "missing" or "damaged"."""
        pictures, note = self._paths(about)
        if not note.exists():
            return "missing"
        try:
            said = json.loads(note.read_text(encoding="utf-8"))
            good = said["about"] == _plain(about) and said["sha256"] == file_sha256(pictures)
        except (OSError, ValueError, KeyError, TypeError):  # whatever is wrong with it: it can be drawn again
            good = False
        return "good" if good else "damaged"

    def save(self, about: Mapping[str, Any], pictures: NDArray[np.uint8]) -> None:
        """Write a cell. Raises RespoError."""
        data = io.BytesIO()
        np.save(data, pictures, allow_pickle=False)
        path, note = self._paths(about)
        write_atomically(path, data.getvalue())
        said = {"sha256": hashlib.sha256(data.getvalue()).hexdigest(), "about": _plain(about)}
        write_atomically(note, (json.dumps(said, indent=1) + "\n").encode())

    def load(self, about: Mapping[str, Any]) -> NDArray[np.uint8]:
        """Open a good cell's pictures `[N, H, W, 3]`; they are read when they are looked at."""
        found: NDArray[np.uint8] = np.load(self._paths(about)[0], mmap_mode="r", allow_pickle=False)
        return found

    def _paths(self, about: Mapping[str, Any]) -> tuple[Path, Path]:
        key = hashlib.sha256(json.dumps(_plain(about), sort_keys=True).encode()).hexdigest()[:32]
        return self.folder / f"{key}.npy", self.folder / f"{key}.json"


def _plain(about: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(about))  # tuples become lists, as they will when read
