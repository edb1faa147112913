"""A page: one HTML file with everything in it and nothing to load, put together from sections of a few kinds."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core.files.write import write_atomically
from ..core.shown import printable
from .grid import Group

_LONGEST = 256  # pixels of a picture on a page
# A line of a list: its tone ("good" and "wait" are coloured), what is bold, what follows, and a command to type.
Item = tuple[str, str, str, str]
Cell = str | tuple[str, str]  # of a table: a text, perhaps with what stands below it in small print


@dataclass(frozen=True)
class Grid:
    """Rows of pictures, shown `width` pixels wide: a text, and each column's pictures `[height, width, 3]`."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Group]]]
    width: int
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A title, a note, and the parts below, each a kind and its data.

    The kinds are macros of page.html: "items" (Items), "lines" (texts), "table" (heads, rows of Cells), "grid" (Grid),
    "charts" and the wider "bars" (titles and `<svg>` elements), "pictures" (captions, and pixels or PNG files),
    "origin" (names and values), "folded" (a summary and the part that it opens).
    """

    title: str
    note: str = ""
    parts: Sequence[tuple[str, Any]] = ()


@dataclass(frozen=True)
class Page:
    """What a page shows from top to bottom. `chips`: (what is bold, a text); `facts`: (name, value)."""

    kind: str
    title: str
    about: str  # of the browser's title, after `title`
    chips: Sequence[tuple[str, str]]
    items: Sequence[Item]
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    footer: str = ""


def write_page(path: Path, page: Page, *, new: bool = False) -> None:
    """Write a page. `new`, and what it raises: see `replacing`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # slow to import, and only wanted at the end

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # prompts, names and paths may come from strangers
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline"] = _inline
    write_atomically(path, environment.get_template("page.html").render(page=page).encode(), new=new)


def _inline(found: NDArray[np.uint8] | bytes) -> str:
    """Return the address of a picture that is inside the page: of pixels `[height, width, 3]`, or of a PNG file."""
    if isinstance(found, bytes):
        return f"data:image/png;base64,{base64.b64encode(found).decode()}"
    data, image = io.BytesIO(), Image.fromarray(np.asarray(found))
    image.thumbnail((_LONGEST, _LONGEST))
    image.save(data, "WEBP", quality=90, method=6)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
