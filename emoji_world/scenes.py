"""Procedural backdrops: seven places and plain colours, drawn large and scaled down so that edges are smooth."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from . import world

SCALE = 3  # supersampling
SIDE = world.IMAGE_SIZE * SCALE
Colour = tuple[int, int, int]
Random = np.random.Generator


def draw_scene(name: str, rng: Random, side: int = world.IMAGE_SIZE) -> Image.Image:
    """Draw one backdrop of `world.SCENES` or `world.PLAIN`, RGB, `side` pixels square."""
    canvas = _DRAWERS[name](rng)
    return canvas.resize((side, side), Image.Resampling.LANCZOS)


def _colour(rng: Random, hue: float, saturation: float, value: float, jitter: float = 0.03) -> Colour:
    h = (hue + rng.normal(0, jitter * 0.4)) % 1
    s, v = (float(np.clip(x + rng.normal(0, jitter), 0, 1)) for x in (saturation, value))
    red, green, blue = colorsys.hsv_to_rgb(h, s, v)
    return round(red * 255), round(green * 255), round(blue * 255)


def _gradient(top: Colour, bottom: Colour) -> Image.Image:
    rows = np.linspace(0, 1, SIDE)[:, None, None]
    pixels = np.asarray(top) * (1 - rows) + np.asarray(bottom) * rows
    return Image.fromarray(np.broadcast_to(pixels, (SIDE, SIDE, 3)).round().astype(np.uint8), "RGB")


def _at(x: float, y: float) -> tuple[float, float]:
    return x * SIDE, y * SIDE


def _box(draw: ImageDraw.ImageDraw, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
    draw.rectangle((*_at(x0, y0), *_at(x1, y1)), fill=fill)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Colour) -> None:
    draw.ellipse((*_at(x - radius, y - radius), *_at(x + radius, y + radius)), fill=fill)


def _hills(draw: ImageDraw.ImageDraw, rng: Random, base: float, height: float, fill: Colour) -> None:
    xs = np.linspace(0, 1, 40)
    phase, waves = rng.uniform(0, 6.3), rng.uniform(1.0, 2.2)
    ys = base - height * (0.5 + 0.5 * np.sin(phase + xs * waves * 6.3))
    draw.polygon([*(_at(x, y) for x, y in zip(xs, ys, strict=True)), _at(1, 1), _at(0, 1)], fill=fill)


def _plain(rng: Random) -> Image.Image:
    hue = rng.uniform()
    top = _colour(rng, hue, rng.uniform(0.12, 0.45), 0.93)
    return _gradient(top, _colour(rng, hue, rng.uniform(0.2, 0.5), 0.82))


def _beach(rng: Random) -> Image.Image:
    image = _gradient(_colour(rng, 0.56, 0.45, 0.97), _colour(rng, 0.54, 0.14, 1.0))
    draw = ImageDraw.Draw(image)
    _disc(
        draw,
        rng.choice([rng.uniform(0.1, 0.25), rng.uniform(0.75, 0.9)]),
        rng.uniform(0.1, 0.2),
        0.085,
        _colour(rng, 0.13, 0.55, 1.0),
    )
    horizon = rng.uniform(0.46, 0.54)
    _box(draw, 0, horizon, 1, 1, _colour(rng, 0.53, 0.65, 0.78))
    _box(draw, 0, horizon + 0.1, 1, 1, _colour(rng, 0.50, 0.45, 0.86))
    _hills(draw, rng, horizon + 0.26, 0.05, _colour(rng, 0.12, 0.18, 1.0))
    _hills(draw, rng, horizon + 0.29, 0.05, _colour(rng, 0.11, 0.38, 0.95))
    return image


def _street(rng: Random) -> Image.Image:
    image = _gradient(_colour(rng, 0.57, 0.30, 0.97), _colour(rng, 0.57, 0.10, 0.99))
    draw = ImageDraw.Draw(image)
    x = rng.uniform(-0.2, 0.0)
    while x < 1:
        width, top = rng.uniform(0.24, 0.34), rng.uniform(0.14, 0.34)
        _box(draw, x, top, x + width, 0.8, _colour(rng, rng.choice([0.03, 0.08, 0.58, 0.1, 0.45]), 0.32, 0.80))
        pane = _colour(rng, 0.14, 0.25, 0.98)
        for row in np.arange(top + 0.06, 0.68, 0.15):
            for column in (0.18, 0.60):
                _box(draw, x + width * column, row, x + width * (column + 0.24), row + 0.08, pane)
        x += width
    _box(draw, 0, 0.78, 1, 1, _colour(rng, 0.6, 0.05, 0.72))
    _box(draw, 0, 0.84, 1, 1, _colour(rng, 0.62, 0.08, 0.45))
    for start in np.arange(rng.uniform(-0.2, 0.0), 1, 0.3):
        _box(draw, start, 0.91, start + 0.16, 0.935, (240, 236, 215))
    return image


def _fir(draw: ImageDraw.ImageDraw, rng: Random, x: float, base: float, size: float, value: float) -> None:
    _box(draw, x - 0.05 * size, base - 0.2 * size, x + 0.05 * size, base, _colour(rng, 0.07, 0.5, 0.42))
    leaf = _colour(rng, 0.37, 0.55, value)
    for step, half in ((0.15, 0.34), (0.42, 0.27), (0.68, 0.19)):
        foot = base - step * size
        draw.polygon([_at(x - half * size, foot), _at(x + half * size, foot), _at(x, foot - 0.45 * size)], fill=leaf)


def _forest(rng: Random) -> Image.Image:
    image = _gradient(_colour(rng, 0.44, 0.22, 0.95), _colour(rng, 0.30, 0.25, 0.95))
    draw = ImageDraw.Draw(image)
    _hills(draw, rng, 0.62, 0.12, _colour(rng, 0.36, 0.35, 0.68))
    for x in np.linspace(-0.02, 1.02, 5) + rng.normal(0, 0.03, 5):
        _fir(draw, rng, float(x), rng.uniform(0.68, 0.74), rng.uniform(0.5, 0.62), 0.52)
    _hills(draw, rng, 0.80, 0.06, _colour(rng, 0.27, 0.55, 0.66))
    for x in (rng.uniform(0.0, 0.16), rng.uniform(0.84, 1.0)):
        _fir(draw, rng, x, rng.uniform(0.86, 0.93), rng.uniform(0.7, 0.82), 0.40)
    return image


def _office(rng: Random) -> Image.Image:
    wall = _colour(rng, 0.10, 0.08, 0.93)
    image = _gradient(wall, _colour(rng, 0.10, 0.12, 0.86))
    draw = ImageDraw.Draw(image)
    left = rng.uniform(0.06, 0.16)
    _box(draw, left - 0.02, 0.08, left + 0.36, 0.50, (250, 250, 250))
    _box(draw, left, 0.10, left + 0.34, 0.48, _colour(rng, 0.56, 0.32, 0.96))
    _box(draw, left + 0.16, 0.10, left + 0.18, 0.48, (250, 250, 250))
    shelf = rng.uniform(0.60, 0.66)
    for row in (0.22, 0.42):
        x = shelf + 0.01
        while x < shelf + 0.28:
            width = rng.uniform(0.04, 0.06)
            _box(draw, x, row - rng.uniform(0.09, 0.13), x + width - 0.008, row, _colour(rng, rng.uniform(), 0.5, 0.78))
            x += width
        _box(draw, shelf, row, shelf + 0.32, row + 0.025, _colour(rng, 0.08, 0.5, 0.55))
    _box(draw, 0, 0.74, 1, 1, _colour(rng, 0.08, 0.45, 0.62))
    _box(draw, 0, 0.74, 1, 0.77, _colour(rng, 0.08, 0.4, 0.74))
    return image


def _night(rng: Random) -> Image.Image:
    image = _gradient(_colour(rng, 0.66, 0.70, 0.20), _colour(rng, 0.70, 0.50, 0.42))
    draw = ImageDraw.Draw(image)
    for _ in range(10):
        _disc(draw, rng.uniform(), rng.uniform(0, 0.4), rng.uniform(0.006, 0.011), (250, 245, 215))
    moon, height = rng.choice([rng.uniform(0.1, 0.24), rng.uniform(0.76, 0.9)]), rng.uniform(0.12, 0.2)
    _disc(draw, moon, height, 0.085, (250, 240, 200))
    x = rng.uniform(-0.15, 0.0)
    while x < 1:
        width, top = rng.uniform(0.18, 0.28), rng.uniform(0.36, 0.56)
        _box(draw, x, top, x + width, 1, _colour(rng, 0.68, 0.5, 0.15, 0.015))
        for row in np.arange(top + 0.05, 0.86, 0.13):
            for column in (0.2, 0.6):
                if rng.uniform() < 0.6:
                    _box(draw, x + width * column, row, x + width * (column + 0.22), row + 0.06, (250, 205, 110))
        x += width
    _box(draw, 0, 0.86, 1, 1, _colour(rng, 0.68, 0.35, 0.22, 0.015))
    return image


def _snow(rng: Random) -> Image.Image:
    image = _gradient(_colour(rng, 0.58, 0.25, 0.88), _colour(rng, 0.58, 0.08, 0.97))
    draw = ImageDraw.Draw(image)
    for x in (rng.uniform(0.0, 0.3), rng.uniform(0.6, 1.0)):
        peak, half = rng.uniform(0.2, 0.32), rng.uniform(0.34, 0.44)
        draw.polygon([_at(x - half, 0.72), _at(x + half, 0.72), _at(x, peak)], fill=_colour(rng, 0.60, 0.25, 0.68))
        cap = 0.3
        draw.polygon(
            [
                _at(x - half * cap, peak + (0.72 - peak) * cap),
                _at(x + half * cap, peak + (0.72 - peak) * cap),
                _at(x, peak),
            ],
            fill=(250, 252, 255),
        )
    _hills(draw, rng, 0.74, 0.06, _colour(rng, 0.58, 0.06, 0.95, 0.015))
    for _ in range(16):
        _disc(draw, rng.uniform(), rng.uniform(0, 0.9), rng.uniform(0.009, 0.015), (255, 255, 255))
    return image


def _kitchen(rng: Random) -> Image.Image:
    image = _gradient(_colour(rng, 0.13, 0.20, 0.98), _colour(rng, 0.13, 0.25, 0.94))
    draw = ImageDraw.Draw(image)
    cupboard = _colour(rng, rng.choice([0.03, 0.48, 0.56]), 0.42, 0.74)
    for x in np.arange(rng.uniform(-0.1, 0.0), 1, 0.30):
        _box(draw, x, 0.0, x + 0.28, 0.26, cupboard)
        _disc(draw, x + 0.24, 0.21, 0.014, (245, 240, 225))
    for x in np.arange(0, 1, 0.125):  # tiles
        draw.line((*_at(x, 0.26), *_at(x, 0.66)), fill=(235, 225, 205), width=SCALE)
    for y in np.arange(0.36, 0.66, 0.10):
        draw.line((*_at(0, y), *_at(1, y)), fill=(235, 225, 205), width=SCALE)
    _box(draw, 0, 0.66, 1, 0.71, _colour(rng, 0.07, 0.35, 0.50))
    _box(draw, 0, 0.71, 1, 1, _colour(rng, 0.08, 0.30, 0.86))
    for x in (0.33, 0.66):
        _box(draw, x, 0.71, x + 0.012, 1, _colour(rng, 0.08, 0.35, 0.70))
    return image


_DRAWERS: dict[str, Callable[[Random], Image.Image]] = {
    "beach": _beach,
    "street": _street,
    "forest": _forest,
    "office": _office,
    "night": _night,
    "snow": _snow,
    "kitchen": _kitchen,
    world.PLAIN: _plain,
}
