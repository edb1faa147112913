"""The loss plot that is written beside a module."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .core.checkpoint import write_atomically
from .trainer import Losses


def save_loss_plot(path: Path, history: Mapping[str, Sequence[Losses]]) -> None:
    """Write a PNG with both losses of every concept, raw and smoothed. Raises RespoError."""
    from matplotlib.figure import Figure  # slow to import, and only wanted at the end

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, part in zip(figure.subplots(1, 2), ("responsible", "semantic"), strict=True):
        for index, (name, losses) in enumerate(history.items()):
            values = np.array([getattr(loss, part) for loss in losses])
            steps = np.arange(1, len(values) + 1)
            axes.plot(steps, values, color=f"C{index}", alpha=0.25, linewidth=0.8)
            axes.plot(steps, smooth(values), color=f"C{index}", label=name)
        axes.set(title=f"{part} loss", xlabel="step")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_atomically(path, picture.getvalue())


def smooth(values: NDArray[np.float64], span: int = 20) -> NDArray[np.float64]:
    """Return the running mean of the last `span` values, fewer at the start."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - span, 0)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means
