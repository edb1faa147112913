"""Bars with intervals, group by group, as SVG in the page's own colours."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from ..report.plots import COLOURS, INK, LINE, as_svg
from .figure import Figure


@dataclass(frozen=True)
class Bars:
    """`runs`: name -> group -> figure, each run in a colour of its own. `marked`: groups with an asterisk."""

    x: str
    runs: Mapping[str, Mapping[str, Figure]]
    marked: AbstractSet[str] = frozenset()


def svg(bars: Bars) -> str:
    """Return the chart as an `<svg>` element. A figure without a value gets no bar."""
    from matplotlib.figure import Figure as Drawing

    groups = list(dict.fromkeys(group for run in bars.runs.values() for group in run))
    drawing = Drawing(figsize=(6.4, 0.34 * len(groups) + 1.1), layout="constrained")
    axes = drawing.subplots()
    places, thick = np.arange(len(groups))[::-1], 0.8 / max(len(bars.runs), 1)
    for index, (name, run) in enumerate(bars.runs.items()):
        own = [run.get(group) for group in groups]
        values, low, high = (
            np.array([getattr(f, end) if f else np.nan for f in own]) for end in ("value", "low", "high")
        )
        # The value may lie outside: see metrics.bootstrap.
        spread = np.nan_to_num([values - np.minimum(low, values), np.maximum(high, values) - values])
        shift = (len(bars.runs) - 1) / 2 - index
        drawn = np.nan_to_num(values)
        axes.barh(places + shift * thick, drawn, 0.92 * thick, color=COLOURS[1 - index], label=name)
        axes.errorbar(drawn, places + shift * thick, xerr=spread, fmt="none", ecolor=INK, alpha=0.45, elinewidth=0.9)
    axes.set_yticks(places, [f"{group} *" if group in bars.marked else group for group in groups])
    axes.set(xlim=(0, 1.02), ylim=(-0.6, len(groups) - 0.4), xlabel=bars.x)
    axes.xaxis.label.set_color(INK)
    axes.tick_params(colors=INK, length=0)
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    drawing.legend(loc="outside upper left", ncols=3, frameon=False, labelcolor=INK)
    return as_svg(drawing)
