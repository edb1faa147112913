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
from PIL import Image, PngImagePlugin

from ..core.files.header import opened
from ..core.files.write import write_atomically
from .grid import Layout, draw_grid

_LAYOUT = Layout(left=170, top=74, group_gap=22, row_gap=14, edge=20, text=15)  # fixed: older sheets are read, too
_KEY = "respo"
_MOST_PIXELS = 2**26  # a quarter of what Pillow takes for an attack
_MOST_CHARACTERS = 2**19  # half of what Pillow reads of a text


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
        names = ["\n".join(textwrap.wrap(prompt, 17, max_lines=6, placeholder=" …")) for prompt in self.prompts]
        rows = list(zip(names, self.pictures, strict=True))
        return draw_grid(rows, _LAYOUT, self.columns, f"{self.title}, step {self.step}")

    def fits(self) -> bool:
        """Say whether `load` would read what `save` writes: it refuses very large pictures and very long texts."""
        width, height = _LAYOUT.places(*self.pictures.shape[:5])[2]
        return width * height <= _MOST_PIXELS and len(self._said()) <= _MOST_CHARACTERS

    def _said(self) -> str:
        said = {key: getattr(self, key) for key in ("run", "title", "step", "prompts", "columns")}
        return json.dumps({**said, "shape": self.pictures.shape})

    def save(self, path: Path) -> None:
        """Write the sheet as a PNG. Raises RespoError."""
        notes = PngImagePlugin.PngInfo()
        notes.add_itxt(_KEY, self._said(), zip=True)
        data = io.BytesIO()
        self.image().save(data, "PNG", pnginfo=notes)
        write_atomically(path, data.getvalue())

    @classmethod
    def load(cls, path: Path) -> Sheet | None:
        """Read a sheet that `save` wrote, its pictures bit by bit; None when the file is something else."""
        try:
            with opened(path) as file, Image.open(file, formats=("PNG",)) as sheet:
                if sheet.width * sheet.height > _MOST_PIXELS:
                    return None
                said = json.loads(sheet.info[_KEY])
                pixels = np.asarray(sheet.convert("RGB"))
            shape = tuple(int(size) for size in said["shape"])
            lefts, tops, _ = _LAYOUT.places(*shape[:5])
            rows = [
                [[pixels[top : top + shape[3], left : left + shape[4]] for left in places] for places in lefts]
                for top in tops
            ]
            pictures = np.array(rows, dtype=np.uint8).reshape(shape)
            names = tuple(said["prompts"]), tuple(said["columns"])
            return cls(said["run"], said["title"], int(said["step"]), *names, pictures)
        except (OSError, KeyError, TypeError, ValueError, SyntaxError, Image.DecompressionBombError):
            # Pillow raises a SyntaxError for a broken PNG, and the last for one of more pixels than we look for.
            return None
