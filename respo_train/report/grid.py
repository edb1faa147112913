"""A grid of pictures with names: rows of groups of pictures, on white."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

INK, QUIET, PAPER = "#1d2433", "#667085", "#ffffff"
Group = Sequence[NDArray[np.uint8]] | NDArray[Any]  # pictures [height, width, 3]
Places = tuple[list[list[int]], list[int], tuple[int, int]]


@dataclass(frozen=True)
class Layout:
    """Distances in pixels. `left`, `top`: of the first picture, where the rows' names and the heads stand.

    `seam`: between the pictures of a group. `edge`: to the right of the last picture and below it. `text`: font size.
    """

    left: int = 150
    top: int = 0
    seam: int = 4
    group_gap: int = 48
    row_gap: int = 4
    edge: int = 4
    text: int = 20

    def places(self, rows: int, groups: int, pictures: int, height: int, width: int) -> Places:
        """Return `lefts[group][picture]`, `tops[row]`, and the grid's width and height."""
        group = pictures * (width + self.seam) - self.seam + self.group_gap
        lefts = [[self.left + g * group + p * (width + self.seam) for p in range(pictures)] for g in range(groups)]
        tops = [self.top + r * (height + self.row_gap) for r in range(rows)]
        return lefts, tops, (lefts[-1][-1] + width + self.edge, tops[-1] + height + self.edge)


def draw_grid(
    rows: Sequence[tuple[str, Sequence[Group]]],
    layout: Layout,
    heads: Sequence[str] = (),
    title: str = "",
    paper: str = PAPER,
) -> Image.Image:
    """Draw `rows`, each a name and its groups of pictures, all of one size. `heads`: the groups' names."""
    groups = [groups for _, groups in rows]
    longest = max(len(group) for row in groups for group in row)
    height, width = np.shape(groups[0][0][0])[:2]
    lefts, tops, size = layout.places(len(rows), len(groups[0]), longest, height, width)
    sheet = Image.new("RGB", size, paper)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=layout.text)
    pen.text((layout.edge, layout.edge), title, QUIET, font)
    for name, places in zip(heads, lefts, strict=True) if heads else ():
        middle = (places[0] + places[-1] + width) // 2, layout.top - layout.text // 2
        pen.text(middle, name, INK, ImageFont.load_default(size=1.3 * layout.text), anchor="ms")
    for (name, row), top in zip(rows, tops, strict=True):
        beside = layout.left - layout.text // 2 - 4, top + height // 2
        pen.text(beside, name, INK, font, anchor="rm", align="right", spacing=layout.text // 3)
        for places, group in zip(lefts, row, strict=True):
            for left, picture in zip(places, group, strict=False):  # a row may end earlier
                sheet.paste(Image.fromarray(picture), (left, top))
    return sheet
