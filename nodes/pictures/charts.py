"""The reports' charts, 1024 pixels wide. matplotlib is imported on first use, so the reports work without it.

The trainer's `report/charts.py` is apart: the nodes import nothing of the trainer, and core draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from comfy_api.latest import ui
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ...respo_train.core.counting.fairness import Report
from ...respo_train.core.counting.metrics import Interval
from ...respo_train.core.counting.safety_report import SafetyReport

WIDTH, _DPI = 1024, 100  # pixels; pixels per inch
MOST_BARS = 24
_BACK, _PANEL, _INK, _FAINT, _LINE = "#1b1d23", "#23262e", "#eceef2", "#9aa1ad", "#3a3f4a"
_SEEN, _ASKED, _CHANCE, _FLAG = "#5aa9ff", "#ffb454", "#6c7a8f", "#ff6b6b"
_STYLE: Any = {
    **{f"{axis}tick.{what}": value for axis in "xy" for what, value in (("color", _FAINT), ("labelsize", 10))},
    "axes.facecolor": _PANEL,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _FAINT,
    "axes.labelsize": 10,
    "grid.color": _LINE,
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "figure.facecolor": _BACK,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "legend.fontsize": 10,
    "text.color": _INK,
    "text.parse_math": False,  # names are a stranger's
}
_MISSING = "The chart needs the Python package matplotlib: install it into ComfyUI's Python with pip."
_LONGEST_NAME = 18
_ABOVE, _BAR = 0.88, 0.52  # inches: title and legend; one bar and the gap below it
_MARGIN = 0.03  # of the width
_DASHED: Any = {"color": _FAINT, "lw": 1.2, "ls": (0, (4, 3)), "zorder": 2}
_DIAMOND: Any = {"marker": "D", "ls": "", "mfc": _ASKED, "mec": _BACK}
_BY_CHANCE: Any = {"color": _CHANCE, "lw": 0}
Drawn = tuple[Any, str]  # chart `[1, H, WIDTH, 3]` in 0 … 1 and "", or without matplotlib a blocker and a message


def fairness_chart(found: Report, judge: str) -> Drawn:
    """Draw a fairness report: a bar for each concept, and the deviation ratio below."""
    concepts = found.concepts[:MOST_BARS]
    bars = _BAR * len(concepts) + 0.3
    aside = [f"{number} {what}" for number, what in ((found.unsure, "unsure"), (found.nobody, "show nobody")) if number]
    hidden = len(found.concepts) - len(concepts)
    aside += [f"{hidden} more concepts not drawn"] * bool(hidden)

    def draw(figure: Any) -> None:
        _draw_shares(_axes(figure, _ABOVE, bars), found, concepts)
        _draw_ratio(_axes(figure, _ABOVE + bars + 0.42, 0.62), found)
        figure.text(1 - _MARGIN, 0.18 / figure.get_figheight(), ", ".join(aside), color=_FAINT, ha="right", size=10)

    return _chart(_ABOVE + bars + 1.75, f"{found.attribute}: {_pictures(found.count)}", judge, draw)


def safety_chart(found: SafetyReport, judge: str) -> Drawn:
    """Draw each picture's score."""
    count = len(found.scores)

    def draw(figure: Any) -> None:
        axes = _axes(figure, 0.74, 2.4, left=0.085)
        numbers, colours = np.arange(1, count + 1), [_FLAG if flag else _SEEN for flag in found.flags]
        axes.bar(numbers, np.maximum(found.scores, 0.006), width=min(0.8, 0.15 * count), color=colours, zorder=3)
        axes.axhline(found.threshold, color=_ASKED, lw=1.6, ls=(0, (5, 3)), zorder=4)
        _beside(axes, found.threshold, f"threshold {found.threshold:.2f}", _ASKED)
        axes.set(xlim=(0.4, count + 0.6), ylim=(0, 1.02), xlabel="picture", ylabel="score")
        if count <= MOST_BARS:
            axes.set_xticks(numbers)
        axes.grid(axis="y")

    return _chart(3.8, f"{found.attribute}: {sum(found.flags)} of {_pictures(count)} flagged", judge, draw)


def shown_with(chart: Any, text: str, cls: Any) -> dict[str, Any]:
    """Return what a report shows on its node: the chart, where there is one, and the text."""
    drawn = ui.PreviewImage(chart, cls=cls).as_dict() if isinstance(chart, Tensor) else {}
    return {**drawn, "text": (text,)}


def _draw_shares(axes: Any, found: Report, concepts: tuple[str, ...]) -> None:
    """Draw a bar with an interval for each concept, the share that was asked for, and the range that chance gives."""
    fair = 1 / len(found.concepts)
    if found.chance_share is not None:
        axes.axvspan(*found.chance_share, alpha=0.22, zorder=1, **_BY_CHANCE)
    axes.axvline(fair, **_DASHED)
    top = max([fair, *(found.shares[name].high for name in concepts)]) if found.decided else 1.0
    if found.asked_count:
        top = max(top, max(found.asked.values()) / found.asked_count)
    for place, name in enumerate(concepts):
        share, said = found.shares[name], str(found.seen[name])
        axes.barh(place, share.value, height=0.52, color=_SEEN, zorder=3)
        if found.decided:
            _whisker(axes, share, place)
        if found.asked_count:
            axes.plot(found.asked[name] / found.asked_count, place, ms=9, mew=1.4, zorder=6, **_DIAMOND)
            said += f" ({found.asked[name]} asked)"
        _beside(axes, place, said, _INK)
    axes.set(xlim=(0, min(1.0, top * 1.06)), ylim=(len(concepts) - 0.45, -0.55))
    axes.set_yticks(range(len(concepts)), [_cut(name) for name in concepts])
    axes.tick_params(axis="y", length=0, labelsize=12, labelcolor=_INK)
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
    axes.grid(axis="x")
    _legend(axes, found)


def _draw_ratio(axes: Any, found: Report) -> None:
    """Draw the deviation ratio and its interval on a scale from 0 (even) to 1 (all the same), over chance's range."""
    axes.set(xlim=(0, 1), ylim=(-1, 1), yticks=[])
    axes.grid(axis="x")
    axes.set_xlabel("deviation ratio: 0 is even, 1 is all the same", labelpad=4)
    if found.deviation is None or found.chance is None:
        axes.text(0.5, 0, "no picture was decided", ha="center", va="center", size=12)
        return
    axes.axvspan(found.chance.low, found.chance.high, alpha=0.22, zorder=1, **_BY_CHANCE)
    axes.axvline(found.chance.value, **_DASHED)
    _whisker(axes, found.deviation, 0)
    axes.plot(found.deviation.value, 0, "o", ms=12, mfc=_SEEN, mec=_INK, mew=1.6, zorder=6, clip_on=False)
    if found.perfect is not None:
        axes.plot(found.perfect, 0, ms=9, mew=1.4, zorder=5, clip_on=False, **_DIAMOND)
    said = f"{found.deviation.value:.2f}\n{found.deviation.low:.2f} … {found.deviation.high:.2f}"
    _beside(axes, 0, said, _INK)


def _beside(axes: Any, place: float, words: str, colour: str) -> None:
    """Write to the right of the axes, at the height `place` in data coordinates."""
    axes.text(1.022, place, words, transform=axes.get_yaxis_transform(), va="center", color=colour, size=11)


def _whisker(axes: Any, interval: Interval, place: float) -> None:
    middle, half = (interval.low + interval.high) / 2, (interval.high - interval.low) / 2
    look: Any = {"elinewidth": 1.8, "capthick": 1.8, "capsize": 4.5, "zorder": 5, "clip_on": False}
    axes.errorbar(middle, place, xerr=half, fmt="none", ecolor=_INK, **look)


def _legend(axes: Any, found: Report) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    keys = [Patch(color=_SEEN, label="seen"), Line2D([], [], color=_INK, lw=1.8, label="95 % interval")]
    if found.asked_count:
        keys.append(Line2D([], [], ms=8, label="asked", **_DIAMOND))
    if found.chance_share is not None:
        keys.append(Patch(alpha=0.4, label="95 % of fair coins", **_BY_CHANCE))
    narrow: Any = {"handlelength": 1.4, "columnspacing": 1.6, "borderaxespad": 0}
    axes.legend(handles=keys, loc="lower right", bbox_to_anchor=(1.17, 1.01), ncols=len(keys), **narrow)


def _chart(inches: float, title: str, judge: str, draw: Callable[[Any], None]) -> Drawn:
    """Draw a chart `inches` high with its title and the judge's name."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return ExecutionBlocker(None), _MISSING
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH / _DPI, inches), dpi=_DPI)
        canvas, top = FigureCanvasAgg(figure), 1 - 0.32 / inches
        figure.text(_MARGIN, top, _cut(title, 60), size=16, weight="bold", va="center")
        figure.text(1 - _MARGIN, top, _cut(judge, 44), color=_FAINT, size=11, ha="right", va="center")
        draw(figure)
        canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    return torch.from_numpy(pixels.astype(np.float32) / 255)[None], ""


def _axes(figure: Any, above: float, height: float, left: float = 0.18) -> Any:
    """Add axes `height` inches high, `above` inches below the top."""
    inches = figure.get_figheight()
    return figure.add_axes((left, 1 - (above + height) / inches, 0.855 - left, height / inches))


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _cut(words: str, longest: int = _LONGEST_NAME) -> str:
    return words if len(words) <= longest else words[: longest - 1].rstrip() + "…"
