"""The picture of what each strength of a method buys, so that no reader has to trust the point that was picked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from respo_train.core.files.write import write_atomically
from respo_train.report.charts import INK, drawing, png

from .chart import PANELS, Panel
from .measure import Figures

NAME = "strengths.png"
EVEN, LOST, _ = PANELS
# Not the mean of PSNRs, in which a picture that was left alone counts for many that were not.
KEPT = Panel("background kept, dB of the mean error", "background_psnr_of_mean_{}", "higher is better")
COSTS = (LOST, KEPT)
_NUMBER: Any = {"textcoords": "offset points", "fontsize": 7, "color": INK, "alpha": 0.7}  # beside a point


def save(
    path: Path, curves: Mapping[str, Mapping[float, str]], found: Mapping[str, Figures], task: str = "gender"
) -> None:
    """Write the picture: a line a method, each point with its strength. `curves`: method -> strength -> row."""
    with drawing(11, 5) as figure:
        panels = figure.subplots(1, len(COSTS))
        for method, rows in curves.items():
            for axes, panel in zip(panels, COSTS, strict=True):
                points = {
                    strength: (_value(found[name], EVEN, task), _value(found[name], panel, task))
                    for strength, name in rows.items()
                    if panel.metric.format(task) in found.get(name, {})
                }
                axes.plot(*np.reshape([*points.values()], (-1, 2)).T, "o-", markersize=4, label=method)
                for strength, point in points.items():
                    axes.annotate(f"{strength:g}", point, (3, 3), **_NUMBER)
        for axes, panel in zip(panels, COSTS, strict=True):
            axes.set_title(f"{panel.heading} ({panel.better})", fontsize=11)
            axes.set(xlabel=f"{EVEN.heading} ({EVEN.better})", xlim=(-0.02, 1.02))
        panels[0].set_yscale("symlog", linthresh=2)  # few lose many, and most is to be told apart near 0
        panels[0].set_yticks([0, 1, 2, 5, 10, 20, 50], labels=["0", "1", "2", "5", "10", "20", "50"], minor=False)
        panels[0].minorticks_off()
        panels[0].set_ylim(min(-0.4, panels[0].dataLim.ymin - 0.4), 100)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(curves))
        write_atomically(path, png(figure))


def _value(row: Figures, panel: Panel, task: str) -> float:
    return panel.times * row[panel.metric.format(task)].value
