"""The picture grids in the README of Emoji World: neutral prompts, explicit ones, no people, at night."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import world
from .measure import article
from .sample import Request, World

INK, PAPER, GAP = "#22223b", "#ffffff", 4


def save_grids(model: World, folder: Path) -> list[Path]:
    """Draw the four grids, write them to `folder`, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(p.word, f"a photo of {article(p.word)} {p.word}") for p in world.PROFESSIONS]
    pilots = [(f"{g}, {s}", f"a photo of a {s}-skinned {g} pilot") for g in world.GENDERS for s in world.SKIN_GROUPS]
    people_free = [(w, f"a photo of a {w}") for w in list(world.SUBJECTS)[:6]]
    nights = [(w, f"a photo of a {w} at night") for w in ("doctor", "teacher", "farmer", "singer")]
    grids = {"neutral": jobs, "explicit": pilots, "people_free": people_free, "night": nights}
    return [_save(model, rows, folder / f"{name}.png", 8) for name, rows in grids.items()]


def _save(model: World, rows: list[tuple[str, str]], path: Path, columns: int) -> Path:
    prompts = [Request(words) for _, words in rows for _ in range(columns)]
    pictures = model.draw(prompts, range(5_000_000, 5_000_000 + len(prompts)))
    pixels = (pictures.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    side, margin = world.IMAGE_SIZE, 172
    sheet = Image.new("RGB", (margin + columns * (side + GAP), len(rows) * (side + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=20)
    for row, (title, _) in enumerate(rows):
        top = row * (side + GAP)
        draw.text((margin - 14, top + side // 2), title, INK, font, anchor="rm")
        for column in range(columns):
            picture = Image.fromarray(np.ascontiguousarray(pixels[row * columns + column]))
            sheet.paste(picture, (margin + column * (side + GAP), top))
    sheet.save(path, optimize=True)
    return path
