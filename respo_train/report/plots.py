"""The charts of a run: its losses, and what its modules do at each timestep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.files.write import write_atomically
from ..trainer import Losses
from .charts import COLOURS, INK, drawing, png, svg
from .effect import Effect

_MOST_POINTS = 600  # points of a line; more would not be visible and would make the page large


@dataclass(frozen=True)
class Line:
    """One line of a chart; `raw` is drawn faintly behind it."""

    name: str
    x: Sequence[float] | NDArray[np.int64]
    y: Sequence[float] | NDArray[np.float64]
    raw: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Chart:
    """Lines over one axis, with a title and the name of x. `mark`: a height worth a dashed line."""

    title: str
    x: str
    lines: tuple[Line, ...]
    mark: float | None = None
    falling: bool = False  # x runs from high to low


def loss_charts(history: Mapping[str, Sequence[Losses]]) -> list[Chart]:
    """Return a chart for each part, for the semantic one only where there is one (elsewhere it stays at zero)."""
    charts = []
    for part in ("responsible", "semantic"):
        if part == "semantic" and not any(loss.semantic for losses in history.values() for loss in losses):
            continue
        lines = []
        for name, losses in history.items():
            values = np.array([getattr(loss, part) for loss in losses], dtype=np.float64)
            shown = np.unique(np.linspace(0, max(len(values) - 1, 0), _MOST_POINTS).round().astype(np.int64))
            shown = shown[: len(values)]
            lines.append(Line(name, shown + 1, smooth(values)[shown], values[shown]))
        charts.append(Chart(f"{part} loss", "step", tuple(lines)))
    return charts


def effect_charts(effects: Mapping[str, Effect]) -> list[Chart]:
    """Return what a module does at each timestep: its size, the change, and how far that leads to the prompt."""

    def chart(title: str, figures: str, mark: float | None = None) -> Chart:
        found = {name: getattr(effect, figures) for name, effect in effects.items()}
        lines = [Line(name, effects[name].timesteps, values) for name, values in found.items() if values is not None]
        return Chart(title, "timestep: noise on the left, picture on the right", tuple(lines), mark, falling=True)

    charts = [
        chart("Way to what was asked for", "way", 1.0),
        chart("Change of the prediction", "change"),
        chart("Size of the module against h", "size"),
    ]
    return [found for found in charts if found.lines]


def save_loss_plot(path: Path, history: Mapping[str, Sequence[Losses]]) -> None:
    """Write a PNG with both losses of every concept, raw and smoothed. Raises RespoError."""
    charts = loss_charts(history)
    with drawing(4.5 * len(charts), 3.4) as figure:
        for axes, chart in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
            _draw(axes, chart)
            axes.set_title(chart.title)
        write_atomically(path, png(figure))


def chart_svgs(charts: Sequence[Chart]) -> list[tuple[str, str]]:
    """Return each chart's title, and the chart without it as an `<svg>` element in the page's colours."""
    return [(chart.title, _svg(chart)) for chart in charts]


def _svg(chart: Chart) -> str:
    with drawing(4.6, 2.9) as figure:
        _draw(figure.subplots(), chart)
        return svg(figure)


def smooth(values: NDArray[np.float64], span: int = 20) -> NDArray[np.float64]:
    """Return the running mean of the last `span` values, fewer at the start; what is not finite is left out of it."""
    finite = np.isfinite(values)
    sums, counts = (
        np.convolve(own, np.ones(span))[: len(own)] if len(own) else own
        for own in (np.where(finite, values, 0), finite)
    )
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _draw(axes: Any, chart: Chart) -> None:
    for index, line in enumerate(chart.lines):
        colour = COLOURS[index % len(COLOURS)]
        if line.raw is not None:
            axes.plot(line.x, line.raw, color=colour, alpha=0.28, linewidth=0.8)
        # A single point makes no line.
        marker = "o" if len(line.x) < 12 else None
        axes.plot(line.x, line.y, color=colour, linewidth=1.8, marker=marker, markersize=3.5, label=line.name)
    if chart.mark is not None:
        axes.axhline(chart.mark, color=INK, linewidth=0.9, linestyle=(0, (4, 4)), alpha=0.5)
    axes.set_xlabel(chart.x)
    low, high = axes.get_ylim()
    # From zero, so that heights can be compared; below it only where a value is.
    axes.set_ylim(low if any(np.nanmin(line.y, initial=0) < 0 for line in chart.lines) else 0, high)
    if chart.falling:
        axes.invert_xaxis()
    if len(chart.lines) > 1:
        axes.legend(handlelength=1.2)
