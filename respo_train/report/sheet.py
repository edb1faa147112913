"""A labelled sheet of preview pictures, one PNG: rows are prompts, columns "before" and each concept.

Only these sheets are kept. Each PNG also says where its pictures are, so that the page of a resumed run
can show those of the run before.
"""

from __future__ import annotations

import io
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from ..core.files.checkpoint import write_atomically

_INK, _QUIET, _PAPER = "#1d2433", "#667085", "#ffffff"
_MARGIN, _LABEL, _HEAD = 20, 150, 74  # pixels: around the sheet, of a row's label, above the pictures
_SEAM, _COLUMN_GAP, _ROW_GAP = 4, 22, 14  # between one cell's pictures, between cells
_KEY = "respo"


def sheet_path(folder: Path, step: int) -> Path:
    """Return where the sheet that was drawn after `step` steps is kept in a training folder, if there is one."""
    return folder / f"preview-{step:06d}.png"


@dataclass(frozen=True, eq=False)
class Sheet:
    """`pictures` `[prompts, columns, seeds, height, width, 3]`, 0 … 255, drawn after `step` steps of the run `run`."""

    run: str
    title: str
    step: int
    prompts: tuple[str, ...]
    columns: tuple[str, ...]
    pictures: NDArray[np.uint8]

    def image(self) -> Image.Image:
        """Return the labelled sheet, every picture at its own size."""
        lefts, tops, size = _places(self.pictures.shape)
        sheet = Image.new("RGB", size, _PAPER)
        draw = ImageDraw.Draw(sheet)
        small, middle = ImageFont.load_default(size=15), ImageFont.load_default(size=17)
        draw.text((_MARGIN, _MARGIN), f"{self.title}, step {self.step}", _QUIET, small)
        height = self.pictures.shape[3]
        for name, places in zip(self.columns, lefts, strict=True):
            draw.text((places[0], _HEAD - 10), name, _INK, middle, anchor="ls")
        for row, (prompt, top) in enumerate(zip(self.prompts, tops, strict=True)):
            words = "\n".join(textwrap.wrap(prompt, 17, max_lines=6, placeholder=" …"))
            draw.text((_MARGIN, top + height / 2), words, _INK, small, anchor="lm", spacing=5)
            for column, places in enumerate(lefts):
                for seed, left in enumerate(places):
                    sheet.paste(Image.fromarray(self.pictures[row, column, seed]), (left, top))
        return sheet

    def save(self, path: Path) -> None:
        """Write the sheet as a PNG. Raises RespoError."""
        notes = PngImagePlugin.PngInfo()
        said = {
            "run": self.run,
            "title": self.title,
            "step": self.step,
            "prompts": self.prompts,
            "columns": self.columns,
        }
        notes.add_itxt(_KEY, json.dumps({**said, "shape": self.pictures.shape}), zip=True)
        data = io.BytesIO()
        self.image().save(data, "PNG", pnginfo=notes)
        write_atomically(path, data.getvalue())

    @classmethod
    def load(cls, path: Path) -> Sheet | None:
        """Read a sheet that `save` wrote, its pictures bit by bit; None when the file is something else."""
        try:
            with Image.open(path) as sheet:
                said = json.loads(sheet.info[_KEY])
                pixels = np.asarray(sheet.convert("RGB"))
            shape = tuple(int(size) for size in said["shape"])
            lefts, tops, _ = _places(shape)
            rows = [
                [[pixels[top : top + shape[3], left : left + shape[4]] for left in places] for places in lefts]
                for top in tops
            ]
            pictures = np.array(rows, dtype=np.uint8).reshape(shape)
            names = tuple(said["prompts"]), tuple(said["columns"])
            return cls(said["run"], said["title"], int(said["step"]), *names, pictures)
        except (OSError, KeyError, TypeError, ValueError, SyntaxError):  # Pillow raises the last for a broken PNG
            return None


def _places(shape: tuple[int, ...]) -> tuple[list[list[int]], list[int], tuple[int, int]]:
    """Return where pictures start, `lefts[column][seed]` and `tops[row]`, and the sheet's width and height."""
    rows, columns, seeds, height, width, _ = shape
    cell = seeds * width + (seeds - 1) * _SEAM
    first = _MARGIN + _LABEL
    lefts = [[first + c * (cell + _COLUMN_GAP) + s * (width + _SEAM) for s in range(seeds)] for c in range(columns)]
    tops = [_HEAD + r * (height + _ROW_GAP) for r in range(rows)]
    return lefts, tops, (lefts[-1][-1] + width + _MARGIN, tops[-1] + height + _MARGIN)
