"""From a description to pixels: a scene, a person or a thing in front of it, and the person's mask."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from . import world
from .art import Art
from .captions import Picture
from .scenes import draw_scene

SCENE_VARIANTS = 240  # backdrops drawn per scene and then reused, because drawing one is slow
NATIVE = (world.IMAGE_SIZE, world.IMAGE_SIZE)
Random = np.random.Generator
Person = tuple[str, str, int]  # profession, gender, tone


class Studio:
    """Composes pictures; keeps drawn backdrops and scaled emoji.

    `size`: (height, width) in pixels. People and things are scaled by the shorter side; the backdrop, which is square,
    by the longer one, and cut to what lies in the middle.
    """

    def __init__(self, art: Art, seed: int = 0, size: tuple[int, int] = NATIVE) -> None:
        self._art = art
        self._seed = seed
        self._height, self._width = size
        self._scaled = lru_cache(maxsize=20_000)(self._scaled_uncached)
        self._backdrop = lru_cache(maxsize=None)(self._backdrop_uncached)

    def compose(self, picture: Picture, rng: Random) -> tuple[np.ndarray, np.ndarray]:
        """Return (image uint8 [H, W, 3], person mask uint8 [H, W], 255 inside)."""
        canvas = self._backdrop(picture.scene, int(rng.integers(SCENE_VARIANTS))).copy()
        mask = Image.new("L", (self._width, self._height))
        if picture.profession:
            who: Person = (picture.profession, str(picture.gender), int(picture.tone or 0))
            person = self._scaled(picture.style, self._pixels(rng, 100, 113), who)
            at = (
                (self._width - person.width) // 2 + self._pixels(rng, -7, 8),
                self._height - person.height + self._pixels(rng, -1, 4),
            )
            canvas.paste(person, at, person)
            mask.paste(person.getchannel("A"), at)
        if picture.weapon or picture.thing:
            self._hold(canvas, mask, picture, rng)
        if picture.subject:
            self._centre(canvas, world.SUBJECTS[picture.subject], picture.style, self._pixels(rng, 72, 96), rng)
        return np.asarray(canvas), np.asarray(mask)

    def _hold(self, canvas: Image.Image, mask: Image.Image, picture: Picture, rng: Random) -> None:
        code = world.WEAPONS[picture.weapon] if picture.weapon else world.THINGS[str(picture.thing)]
        if not picture.profession:
            self._centre(canvas, code, picture.style, self._pixels(rng, 72, 96), rng)
            return
        item = self._scaled(picture.style, self._pixels(rng, 46, 57), code)
        left, spare = rng.uniform() < 0.5, (self._width - min(self._height, self._width)) // 2
        edge = spare + self._pixels(rng, 0, 7)  # beside the person, wherever the picture ends
        at = (
            edge if left else self._width - item.width - edge,
            self._height - item.height - self._pixels(rng, 0, 9),
        )
        canvas.paste(item, at, item)
        mask.paste(0, at, item.getchannel("A"))  # a held item is not part of the person

    def _centre(self, canvas: Image.Image, code: str, style: str, size: int, rng: Random) -> None:
        item = self._scaled(style, size, code)
        spare = self._width - item.width
        canvas.paste(
            item,
            (spare // 2 + self._pixels(rng, -9, 10), self._height - item.height - self._pixels(rng, 4, 20)),
            item,
        )

    def _pixels(self, rng: Random, least: int, end: int) -> int:
        """Return a random length that is in [least, end) on a picture of the native size."""
        return round(int(rng.integers(least, end)) * min(self._height, self._width) / world.IMAGE_SIZE)

    def _scaled_uncached(self, style: str, height: int, what: str | Person) -> Image.Image:
        if isinstance(what, str):
            image = self._art.picture(what, style)
        else:
            word, gender, tone = what
            image = self._art.person(world.profession(word), gender, tone, style)
        return image.resize((round(image.width * height / image.height), height), Image.Resampling.LANCZOS)

    def _backdrop_uncached(self, scene: str, variant: int) -> Image.Image:
        names = (*world.SCENES, world.PLAIN)
        rng = np.random.default_rng((self._seed, names.index(scene), variant))
        side = max(self._height, self._width)
        left, top = (side - self._width) // 2, (side - self._height) // 2
        return draw_scene(scene, rng, side).crop((left, top, left + self._width, top + self._height))
