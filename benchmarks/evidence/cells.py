"""Finished cells on the disk, each under a signature of everything that its pictures depend on."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from respo_train.core.files.checkpoint import write_atomically

from .asks import Ask
from .code import nodes_sha256
from .graphs import Piece

Pictures = NDArray[np.uint8]  # [N, H, W, 3]
_KEY = "signature"


@dataclass(frozen=True)
class Cell:
    """One method's pictures of one prompt. `depends`: what they depend on beside their graphs (hashes, versions)."""

    method: str
    ask: Ask
    pieces: tuple[Piece, ...]
    depends: Mapping[str, str] = field(default_factory=dict)

    @property
    def signature(self) -> str:
        """Return 64 hexadecimal digits: other settings, prompts, seeds, files, code or versions give others."""
        graphs = [piece.graph for piece in self.pieces]
        kinds = {node["class_type"] for graph in graphs for node in graph.values()}
        known: dict[str, Any] = {**self.depends, "graphs": graphs, "code": nodes_sha256(kinds)}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Store:
    """A folder of finished cells, each a column of pictures as one PNG."""

    folder: Path

    def path(self, cell: Cell) -> Path:
        """Return where a cell's pictures lie once they are drawn."""
        words = re.sub(r"\W+", "-", cell.ask.prompt.text.removeprefix("a photo of "))
        return self.folder / cell.method / cell.ask.task.name.replace(" ", "-") / f"{words}-{cell.signature[:16]}.png"

    def load(self, cell: Cell) -> Pictures | None:
        """Return a finished cell's pictures; None when it is not there, incomplete, or of another signature."""
        try:
            with Image.open(self.path(cell)) as sheet:
                if sheet.info.get(_KEY) != cell.signature:
                    return None
                pixels = np.asarray(sheet.convert("RGB"))
        except (OSError, SyntaxError):  # not there, or cut off: PIL has both errors for it
            return None
        count = cell.ask.count
        return None if len(pixels) % count else pixels.reshape(count, len(pixels) // count, *pixels.shape[1:])

    def save(self, cell: Cell, pictures: Pictures) -> None:
        """Keep a cell. Raises RespoError when it cannot be written; nothing half done stays behind."""
        path = self.path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        about = PngImagePlugin.PngInfo()
        about.add_text(_KEY, cell.signature)
        sheet = io.BytesIO()
        Image.fromarray(pictures.reshape(-1, *pictures.shape[2:])).save(sheet, "png", pnginfo=about, compress_level=3)
        write_atomically(path, sheet.getvalue())


def put_together(count: int, parts: Sequence[tuple[Sequence[int], Pictures]]) -> Pictures:
    """Put pieces' pictures in their places. Raises ValueError unless each of `count` places is filled just once."""
    places = [index for indices, _ in parts for index in indices]
    found = np.concatenate([pictures for _, pictures in parts])
    if sorted(places) != list(range(count)) or len(found) != count:
        raise ValueError(f"expected {count} pictures, each once, found {len(found)} for the places {places}")
    whole = np.empty_like(found)
    whole[places] = found
    return whole
