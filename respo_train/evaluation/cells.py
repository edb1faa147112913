"""Pictures on disk, a few in each cell. A cell that is there is never drawn again; a damaged one is.

A cell is `<key>.npy`, the pictures, and `<key>.json`, written last: all that they depend on, and the hash of the first.
The key is made of all that they depend on, so other settings make other cells and nothing old is ever overwritten.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.files.checkpoint import file_sha256
from ..core.files.text import read_text
from ..core.files.write import make_folder, write_atomically
from .on_disk import OnDisk
from .protocol import Ask


@dataclass(frozen=True, eq=False)
class Cell:
    """`count` pictures of one prompt, from number `first` on, which are drawn and kept together.

    `about`: values for JSON, all that the pictures depend on. `work`: whatever the painter needs to draw them.
    """

    ask: Ask
    first: int
    count: int
    about: Mapping[str, Any]
    work: Any

    @cached_property
    def key(self) -> str:
        """Return 32 hexadecimal digits; equal ones are of the same pictures."""
        return digest_of(self.about)[:32]


def digest_of(values: Any) -> str:
    """Return 64 hexadecimal digits of values for JSON: the same in every Python, whatever the order of keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class Store:
    """The folder with the cells."""

    def __init__(self, folder: Path):
        self.folder = folder
        make_folder(folder)

    def state(self, cell: Cell) -> str:
        """Return "good", "missing" or "damaged"."""
        pictures, note = self._paths(cell)
        if not note.exists():
            return "missing"
        try:
            said = json.loads(read_text(note, "a cell's note"))
            good = said["about"] == _plain(cell.about) and said["sha256"] == file_sha256(pictures)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            # whatever is wrong with it: it can be drawn again
            good = False
        return "good" if good else "damaged"

    def save(self, cell: Cell, pictures: NDArray[np.uint8]) -> None:
        """Write a cell. Raises RespoError."""
        data = io.BytesIO()
        np.save(data, pictures, allow_pickle=False)
        path, note = self._paths(cell)
        write_atomically(path, data.getvalue())
        said = {"sha256": hashlib.sha256(data.getvalue()).hexdigest(), "about": _plain(cell.about)}
        write_atomically(note, (json.dumps(said, indent=1) + "\n").encode())

    def load(self, cell: Cell) -> OnDisk:
        """Return a good cell's pictures, which are read when they are looked at. Raises RespoError."""
        return OnDisk.of(self._paths(cell)[0])

    def _paths(self, cell: Cell) -> tuple[Path, Path]:
        return self.folder / f"{cell.key}.npy", self.folder / f"{cell.key}.json"


def _plain(about: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(about))  # tuples become lists, as they will when read
