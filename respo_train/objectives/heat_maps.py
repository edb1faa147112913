"""Draw where an attribute was found in pictures of a concept: heat map, mask chi, map m (see `localised.py`)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..core.files.write import write_atomically

WIDTH = 1.5  # of one picture, in inches
MARGIN = 1.8  # for the rows' names


@dataclass(frozen=True)
class Shown:
    """The data for a figure of N pictures.

    `pictures`: `[N, 3, H, W]` in 0 … 1, None without an autoencoder. The rest is `[N, 1, h, w]` in 0 … 1: `heat`;
    `chi`, the share of layers in which a pixel is suppressed; and the map `m`.
    """

    pictures: Tensor | None
    heat: Tensor
    chi: Tensor
    m: Tensor
    title: str


def save_heat_maps(path: Path, shown: Shown) -> None:
    """Write a PNG with one column per picture. Raises RespoError when it cannot be written."""
    from matplotlib.figure import Figure  # slow to import

    count, height, width = len(shown.heat), *shown.heat.shape[2:]
    rows = ("picture", "heat map", "mask chi\n(white: in all layers,\nblack: in none)", "map m\n(white 1, black 0)")
    size = (MARGIN + WIDTH * count, 0.5 + 4 * (WIDTH * height / width + 0.05))
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(shown.title, fontsize=11)
    grid = figure.subplots(4, count, squeeze=False)
    for column in range(count):
        picture = None if shown.pictures is None else shown.pictures[column]
        _draw_column(grid[:, column], picture, shown.heat[column, 0], shown.chi[column, 0], shown.m[column, 0])
    for axes, name in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    write_atomically(path, data.getvalue())


def _draw_column(axes: Any, picture: Tensor | None, heat: Tensor, chi: Tensor, m: Tensor) -> None:
    # Draw all four in the same rectangle, whatever their resolution.
    box = (0.0, float(heat.shape[1]), float(heat.shape[0]), 0.0)
    if picture is not None:
        axes[0].imshow(picture.permute(1, 2, 0).numpy(), extent=box)
        axes[1].imshow(picture.mean(0).numpy(), cmap="gray", vmin=0, vmax=1, extent=box)
    axes[1].imshow(heat.numpy(), cmap="inferno", vmin=0, vmax=1, alpha=0.65, interpolation="bilinear", extent=box)
    axes[2].imshow(chi.numpy(), cmap="gray", vmin=0, vmax=1, extent=box)
    axes[3].imshow(m.numpy(), cmap="gray", vmin=0, vmax=1, extent=box)
