"""Sheets of labelled pictures: blocks of stacked pictures with a caption below each, and a colour scale at the end."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...respo_train.core.errors import RespoError

LONGEST_SIDE = 4096  # pixels of a sheet
_SMALLEST_TEXT, _PICTURE_PER_TEXT = 13, 14  # pixels; picture size divided by font size
_SHAPE = 1.6  # preferred width / height
_MOST_COLUMNS = 16
_SCALE_WIDTH = 20  # times the font size, so that the labels fit
_BACKGROUND, _TEXT, _FAINT = "#222222", "#e6e6e6", "#a0a0a0"


@dataclass(frozen=True)
class Scale:
    """The colour scale of a sheet: a strip of colours from left to right, labels below it, and a title above it."""

    strip: Image.Image
    ticks: tuple[str, ...]
    title: str


@dataclass(frozen=True)
class _Plan:
    """Layout of a sheet of `count` blocks, in pixels.

    `text`: the font size, on which all distances are based; `names`: the width of the row names; `rows`: pictures
    stacked in a block; `lines`: lines of a caption; `scale`: whether there is room for a colour scale below.
    """

    count: int
    columns: int
    picture: tuple[int, int]
    text: int
    names: int
    rows: int
    lines: int
    scale: bool

    @property
    def block(self) -> tuple[int, int]:
        """Size of one block: its stacked pictures, the caption below, and the gap to the next block."""
        width, height = self.picture
        below = self.text // 4 + round(1.25 * self.text * self.lines) + 3 * self.text // 4
        return max(width, 6 * self.text) + self.text // 2, self.rows * (height + self.text // 4) + below

    @property
    def width(self) -> int:
        """Width of all blocks side by side, with the row names and a margin."""
        return self.names + self.columns * self.block[0] + self.text

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the whole sheet."""
        height = math.ceil(self.count / self.columns) * self.block[1] + self.text
        return (
            (max(self.width, _SCALE_WIDTH * self.text), height + 5 * self.text) if self.scale else (self.width, height)
        )

    @property
    def unshapely(self) -> float:
        """A penalty: distance from the preferred shape, plus the share of empty blocks in the last row."""
        width, height = self.size
        return abs(math.log(width / height / _SHAPE)) + -self.count % self.columns / self.columns


def to_picture(image: Tensor) -> Image.Image:
    """Convert `[H, W, C]` in 0 … 1 to a picture with the same bytes that the host's Save Image would write."""
    scaled = np.clip(255.0 * image.float().cpu().numpy(), 0, 255)
    values = np.nan_to_num(scaled).astype(np.uint8)
    return Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)


def to_image(picture: Image.Image) -> Tensor:
    """Convert a picture to the host's IMAGE, `[1, H, W, 3]` in 0 … 1."""
    return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255)[None]


def sheet(
    rows: Sequence[tuple[str, Sequence[Image.Image]]], captions: Sequence[str], scale: Scale | None = None
) -> Image.Image:
    """Draw one block per caption: picture i of every row, stacked, and `captions[i]` below.

    `rows`: (name, pictures) of one size and number. The number of columns is chosen so that the sheet has a convenient
    shape. If the sheet would be longer than LONGEST_SIDE, the pictures are drawn smaller, so that the text stays sharp.
    """
    plan = _plan([name for name, _ in rows], rows[0][1][0].size, captions, scale is not None)
    drawn = Image.new("RGB", plan.size, _BACKGROUND)
    pen = ImageDraw.Draw(drawn)
    for index, caption in enumerate(captions):
        _draw_block(drawn, pen, plan, index, [(name, pictures[index]) for name, pictures in rows], caption)
    if scale is not None:
        _draw_scale(drawn, pen, plan.text, scale)
    return drawn


def _plan(names: Sequence[str], picture: tuple[int, int], captions: Sequence[str], scale: bool) -> _Plan:
    """Choose the columns, the font size and, where the sheet would be too large, a smaller picture size."""
    width, height = picture
    count, lines = len(captions), max(caption.count("\n") + 1 for caption in captions)
    for _ in range(4):  # text has a smallest size, so one round may not be enough
        text = max(_SMALLEST_TEXT, min(width, height) // _PICTURE_PER_TEXT)
        margin = round(max(_width(name, text) for name in names)) + 2 * text if any(names) else text
        rest = (width, height), text, margin, len(names), lines, scale
        best = min((_Plan(count, n, *rest) for n in range(1, min(count, _MOST_COLUMNS) + 1)), key=lambda p: p.unshapely)
        too_long = max(best.size) / LONGEST_SIDE
        if too_long <= 1:
            break
        width, height = (max(1, math.floor(side / too_long)) for side in (width, height))
    return best


def _draw_block(
    drawn: Image.Image, pen: Any, plan: _Plan, index: int, stack: Sequence[tuple[str, Image.Image]], caption: str
) -> None:
    (across, down), (width, height), text = plan.block, plan.picture, plan.text
    row, column = divmod(index, plan.columns)
    left = plan.names + (drawn.width - plan.width) // 2
    middle, top = left + column * across + across // 2, text + row * down
    for name, picture in stack:
        fitted = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        drawn.paste(fitted, (middle - width // 2, top))
        if column == 0 and name:
            pen.text((left - text // 2, top + height // 2), name, _FAINT, _font(text), anchor="rm")
        top += height + text // 4
    for place, words in enumerate(caption.split("\n")):
        at = middle, top + round((0.8 + 1.25 * place) * text)
        pen.text(at, _fitted(words, text, across - text // 2), _FAINT if place else _TEXT, _font(text), anchor="mm")


def _draw_scale(drawn: Image.Image, pen: Any, text: int, scale: Scale) -> None:
    """Draw the colour scale, centred at the bottom."""
    length = min(drawn.width - 4 * text, 24 * text)
    left, top = (drawn.width - length) // 2, drawn.height - 5 * text
    title = _fitted(scale.title, text, drawn.width - text)
    pen.text((drawn.width // 2, top + text // 2), title, _FAINT, _font(text), anchor="mm")
    drawn.paste(scale.strip.resize((length, text), Image.Resampling.BILINEAR), (left, top + 3 * text // 2))
    for place, words in enumerate(scale.ticks):
        x = left + place * length // (len(scale.ticks) - 1)
        anchor = "l" if place == 0 else "r" if place == len(scale.ticks) - 1 else "m"
        pen.text((x, top + 13 * text // 4), _fitted(words, text, length), _TEXT, _font(text), anchor=f"{anchor}m")


def _fitted(words: str, text: int, width: float) -> str:
    """Strip accents, which Pillow's built-in font lacks, and cut `words` to `width` pixels."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", words) if not unicodedata.combining(c))
    if _width(plain, text) <= width:
        return plain
    while plain and _width(plain + "…", text) > width:
        plain = plain[:-1]
    return plain.rstrip() + "…"


def _width(words: str, text: int) -> float:
    return _font(text).getlength(words)


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    """Return Pillow's built-in font. Raises RespoError when Pillow is too old to scale it."""
    try:
        return ImageFont.load_default(size=size)
    except (TypeError, ImportError) as error:
        raise RespoError(
            "expected Pillow 10.1 or newer with FreeType, to write labels: update the packages of ComfyUI's "
            "requirements.txt."
        ) from error
