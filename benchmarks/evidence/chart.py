"""The picture of all methods: how even they are, what they cost the professions, what they keep of the background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from respo_train.evaluation.figures import Figure
from respo_train.report.plots import COLOURS, INK, LINE

from .measure import FAIRNESS, Figures
from .tables import title

NAME = "methods.png"
WORDS = {"gender": "gender", "skin": "skin tone", "joint": "both at once"}
OWN = "#f4f7fb"  # behind our own row


@dataclass(frozen=True)
class Panel:
    """One metric of all rows. `better`: which end is the good one."""

    heading: str
    metric: str
    better: str
    times: float = 1


PANELS = (
    Panel("deviation ratio", "deviation_{}", "0 is even: lower is better"),
    Panel("professions lost, points", "accuracy_lost_{}", "lower is better", 100),
    Panel("background kept, dB", "background_psnr_{}", "higher is better"),
)


def save(path: Path, found: Mapping[str, Figures], own: str) -> None:
    """Write the picture; `own`: the row to stand out. A row without a figure has no mark there."""
    from matplotlib.figure import Figure as Drawing

    tasks = [task for task in FAIRNESS if any(f"background_psnr_{task}" in figures for figures in found.values())]
    rows = [name for name, figures in found.items() if any(f"deviation_{task}" in figures for task in tasks)]
    drawing = Drawing(figsize=(11, (0.16 + 0.1 * len(tasks)) * len(rows) + 1.5), layout="constrained")
    panels = drawing.subplots(1, len(PANELS), sharey=True)
    for axes, panel in zip(panels, PANELS, strict=True):
        for task in tasks:
            _marks(axes, [found[row].get(panel.metric.format(task)) for row in rows], panel.times, task, len(tasks) > 1)
        axes.set_title(f"{panel.heading}\n", color=INK, fontsize=12, loc="left")
        in_points = {"xytext": (0, 6), "textcoords": "offset points"}  # however tall the picture is
        axes.annotate(panel.better, (0, 1), xycoords="axes fraction", color=INK, alpha=0.65, fontsize=9, **in_points)
        axes.grid(axis="x", color=LINE, linewidth=0.8)
        axes.tick_params(colors=INK, length=0)
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        if own in rows:
            axes.axhspan(len(rows) - 1.5 - rows.index(own), len(rows) - 0.5 - rows.index(own), color=OWN, zorder=-1)
    places = np.arange(len(rows))[::-1]
    panels[0].set(yticks=places, yticklabels=[title(row).strip("*") for row in rows], xlim=(-0.02, 1.02))
    panels[0].set_ylim(-0.6, len(rows) - 0.4)
    handles, labels = panels[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower right", ncols=3, frameon=False, labelcolor=INK)
    drawing.savefig(path, dpi=120, facecolor="white")


def _marks(axes: Any, figures: list[Figure | None], times: float, task: str, apart: bool) -> None:
    """Draw one attribute's figures with their intervals; `apart`: a little above or below the row's middle."""
    index = list(WORDS).index(task)
    ends = [[getattr(f, end) * times if f else np.nan for f in figures] for end in ("value", "low", "high")]
    value, low, high = np.array(ends)
    places = np.arange(len(figures))[::-1] + (0.22 * (1 - index) if apart else 0)
    spread = np.abs([value - np.minimum(low, value), np.maximum(high, value) - value])
    axes.errorbar(
        value, places, xerr=spread, fmt="o", color=COLOURS[index], markersize=5, elinewidth=1.4, label=WORDS[task]
    )
