"""The picture of all methods: how even they are, what they cost the professions, what they keep of the background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from respo_train.core.files.write import write_atomically
from respo_train.evaluation.figure import Figure
from respo_train.report.charts import COLOURS, INK, drawing, png, spread

from .measure import FAIRNESS, Figures
from .methods import Method
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


def save(path: Path, found: Mapping[str, Figures], own: str, of: Mapping[str, Method]) -> None:
    """Write the picture; `own`: the row to stand out; `of`: see `title`. A row without a figure has no mark there."""
    tasks = [task for task in FAIRNESS if any(f"background_psnr_{task}" in figures for figures in found.values())]
    rows = [name for name, figures in found.items() if any(f"deviation_{task}" in figures for task in tasks)]
    with drawing(11, (0.16 + 0.1 * len(tasks)) * len(rows) + 1.5) as figure:
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for axes, panel in zip(panels, PANELS, strict=True):
            for task in tasks:
                _marks(axes, [found[row].get(panel.metric.format(task)) for row in rows], panel, task, len(tasks) > 1)
            axes.set_title(f"{panel.heading}\n", fontsize=12)
            in_points = {"xytext": (0, 6), "textcoords": "offset points"}  # however tall the picture is
            axes.annotate(
                panel.better, (0, 1), xycoords="axes fraction", color=INK, alpha=0.65, fontsize=9, **in_points
            )
            axes.yaxis.grid(False)
            if own in rows:
                axes.axhspan(len(rows) - 1.5 - rows.index(own), len(rows) - 0.5 - rows.index(own), color=OWN, zorder=-1)
        names = [title(row, of).strip("*") for row in rows]
        panels[0].set(yticks=np.arange(len(rows))[::-1], yticklabels=names, xlim=(-0.02, 1.02))
        panels[0].set_ylim(-0.6, len(rows) - 0.4)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower right", ncols=3)
        write_atomically(path, png(figure))


def _marks(axes: Any, figures: list[Figure | None], panel: Panel, task: str, apart: bool) -> None:
    """Draw one attribute's figures with their intervals; `apart`: a little above or below the row's middle."""
    index = list(WORDS).index(task)
    value, ends = spread(figures)
    places = np.arange(len(figures))[::-1] + (0.22 * (1 - index) if apart else 0)
    look = {"fmt": "o", "color": COLOURS[index], "markersize": 5, "elinewidth": 1.4}
    axes.errorbar(panel.times * value, places, xerr=panel.times * ends, label=WORDS[task], **look)
