"""The picture grids in the README of Emoji World: neutral prompts, explicit ones, no people, at night."""

from __future__ import annotations

from pathlib import Path

from respo_train.core.files.write import make_folder, replacing
from respo_train.report.grid import Layout, draw_grid

from . import world
from .captions import article
from .sample import Request, World


def save_grids(model: World, folder: Path) -> list[Path]:
    """Draw the four grids, write them to `folder`, and return the files."""
    make_folder(folder)
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
    shown = [(title, [pixels[i * columns :][:columns]]) for i, (title, _) in enumerate(rows)]
    with replacing(path) as file:
        draw_grid(shown, Layout(left=172)).save(file, "PNG", optimize=True)
    return path
