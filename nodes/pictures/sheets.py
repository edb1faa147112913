"""Sheets of labelled pictures: rows one above the other, a caption below each column, and a scale at the end."""

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
_SMALLEST_TEXT, _PICTURE_PER_TEXT = 13, 14  # pixels; how many times the text's size a picture is high
_SHAPE = 1.6  # the width that a sheet should have for its height
_MOST_COLUMNS = 16
_SCALE_WIDTH = 20  # times the text's size: its words need that much
_BACKGROUND, _TEXT, _FAINT = "#222222", "#e6e6e6", "#a0a0a0"


@dataclass(frozen=True)
class Scale:
    """What the colours of a sheet mean: a strip of them from left to right, the words below it, and above it."""

    strip: Image.Image
    ticks: tuple[str, ...]
    title: str


@dataclass(frozen=True)
class _Plan:
    """Sizes in pixels. `text`: the font's size, of which all distances are made; `names`: the rows' names' width;
    `rows`: of pictures, `lines`: of a caption."""

    columns: int
    picture: tuple[int, int]
    text: int
    names: int
    rows: int
    lines: int

    @property
    def cell(self) -> tuple[int, int]:
        """One block: the pictures of all rows with the caption below, and the distance to the next block."""
        width, height = self.picture
        below = self.text // 4 + round(1.25 * self.text * self.lines) + 3 * self.text // 4
        return max(width, 6 * self.text) + self.text // 2, self.rows * (height + self.text // 4) + below

    @property
    def width(self) -> int:
        """All blocks beside each other, with the names and a margin."""
        return self.names + self.columns * self.cell[0] + self.text

    def size(self, count: int, scale: bool) -> tuple[int, int]:
        """The whole sheet of `count` blocks, with a scale or not."""
        height = math.ceil(count / self.columns) * self.cell[1] + self.text
        if not scale:
            return self.width, height
        return max(self.width, _SCALE_WIDTH * self.text), height + 5 * self.text


def to_picture(image: Tensor) -> Image.Image:
    """Turn `[H, W, C]` in 0 … 1 into a picture with the bytes that the host's Save Image would write."""
    scaled = np.clip(255.0 * image.float().cpu().numpy(), 0, 255)
    values = np.nan_to_num(scaled).astype(np.uint8)
    return Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)


def to_image(picture: Image.Image) -> Tensor:
    """Turn a picture into the host's IMAGE, `[1, H, W, 3]` in 0 … 1."""
    return torch.from_numpy(np.asarray(picture.convert("RGB"), dtype=np.float32) / 255)[None]


def sheet(
    rows: Sequence[tuple[str, Sequence[Image.Image]]], captions: Sequence[str], scale: Scale | None = None
) -> Image.Image:
    """Draw rows of (name, pictures) of one size: picture i of all rows, one below the other, then `captions[i]`.

    There are as many blocks beside each other as make the sheet's shape handy. A sheet that would be longer than
    LONGEST_SIDE is drawn from smaller pictures, so that its words stay sharp.
    """
    plan = _plan([name for name, _ in rows], rows[0][1][0].size, captions, scale is not None)
    drawn = Image.new("RGB", plan.size(len(captions), scale is not None), _BACKGROUND)
    pen = ImageDraw.Draw(drawn)
    for index, caption in enumerate(captions):
        _draw_block(drawn, pen, plan, index, [(name, pictures[index]) for name, pictures in rows], caption)
    if scale is not None:
        _draw_scale(drawn, pen, plan.text, scale)
    return drawn


def _plan(names: Sequence[str], picture: tuple[int, int], captions: Sequence[str], scale: bool) -> _Plan:
    """Choose columns, text and, where the sheet would be too large, smaller pictures."""
    width, height = picture
    count, lines = len(captions), max(caption.count("\n") + 1 for caption in captions)
    for _ in range(4):  # text does not shrink below its smallest size, so that one go may not be enough
        text = max(_SMALLEST_TEXT, min(width, height) // _PICTURE_PER_TEXT)
        margin = round(max(_width(name, text) for name in names)) + 2 * text if any(names) else text
        columns = range(1, min(count, _MOST_COLUMNS) + 1)
        plans = [_Plan(n, (width, height), text, margin, len(names), lines) for n in columns]
        best = min(plans, key=lambda plan: _unshapely(plan, count, scale))
        too_long = max(best.size(count, scale)) / LONGEST_SIDE
        if too_long <= 1:
            break
        width, height = (max(1, math.floor(side / too_long)) for side in (width, height))
    return best


def _unshapely(plan: _Plan, count: int, scale: bool) -> float:
    """How far a sheet is from a handy shape, and how much of it stays empty."""
    width, height = plan.size(count, scale)
    empty = -count % plan.columns / plan.columns
    return abs(math.log(width / height / _SHAPE)) + empty


def _draw_block(
    drawn: Image.Image,
    pen: Any,
    plan: _Plan,
    index: int,
    stack: Sequence[tuple[str, Image.Image]],
    caption: str,
) -> None:
    (cell, line), (width, height), text = plan.cell, plan.picture, plan.text
    row, column = divmod(index, plan.columns)
    left = plan.names + (drawn.width - plan.width) // 2
    middle = left + column * cell + cell // 2
    top = text + row * line
    for name, picture in stack:
        fitted = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        drawn.paste(fitted, (middle - width // 2, top))
        if column == 0 and name:
            pen.text((left - text // 2, top + height // 2), name, _FAINT, _font(text), anchor="rm")
        top += height + text // 4
    for place, words in enumerate(caption.split("\n")):
        colour = _FAINT if place else _TEXT
        y = top + round((0.8 + 1.25 * place) * text)
        pen.text((middle, y), _fitted(words, text, cell - text // 2), colour, _font(text), anchor="mm")


def _draw_scale(drawn: Image.Image, pen: Any, text: int, scale: Scale) -> None:
    """Draw the strip at the bottom, in the middle."""
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
    """Cut words to a width, in letters that Pillow's own font has: without accents."""
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
    """Pillow's own font. Raises RespoError where Pillow is too old to have one in all sizes."""
    try:
        return ImageFont.load_default(size=size)
    except (TypeError, ImportError) as error:
        raise RespoError(
            "expected Pillow 10.1 or newer with FreeType, to write labels: update the packages of ComfyUI's "
            "requirements.txt."
        ) from error
