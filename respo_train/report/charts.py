"""What charts have in common: one look, values with intervals, and SVG that takes a page's own colours."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.counting.metrics import Interval

COLOURS = ("#2f80ed", "#f2711c", "#21a67a", "#a25ddc", "#e0447c", "#0fa3b1", "#b58a00", "#7a869a")
# What matplotlib draws in these two, a page draws in its own ink and line colours, light or dark.
INK, LINE = "#1d2433", "#e3e6ec"
_STYLE: Any = {
    **{f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")},
    **{f"{axis}tick.{what}": value for axis in "xy" for what, value in (("color", INK), ("major.size", 0))},
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.prop_cycle": f"cycler('color', {list(COLOURS)})",
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "figure.constrained_layout.use": True,
    "grid.color": LINE,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",  # text as text, so that it takes the page's font
    "svg.hashsalt": "respo",  # ids that depend on nothing but what is drawn
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[Any]:
    """Yield a figure of matplotlib's, in inches; what is drawn and saved in the block has our look."""
    import matplotlib  # slow to import
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height))


def png(figure: Any, dpi: int = 120) -> bytes:
    """Return a figure as a PNG file, on white."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=dpi, facecolor="white")
    return data.getvalue()


def svg(figure: Any) -> str:
    """Return a figure as an `<svg>` element in the page's colours."""
    drawn = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
    text = drawn.getvalue()
    text = re.sub(r'<g id="[^"]*">', "<g>", text[text.index("<svg") :])
    text = re.sub(r'^<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg role="img" viewBox="\1">', text)
    return text.replace("xlink:href", "href").replace(INK, "var(--ink)").replace(LINE, "var(--line)")


def spread(intervals: Sequence[Interval | None]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values `[n]`, and how far their intervals reach below and above `[2, n]`; NaN for None.

    A value may lie outside its own interval: see `core.counting.metrics`.
    """
    known = [(i.value, i.low, i.high) if i else (np.nan,) * 3 for i in intervals]
    value, low, high = np.array(known, dtype=np.float64).reshape(-1, 3).T
    return value, np.stack([value - np.minimum(low, value), np.maximum(high, value) - value])


def bars(figure: Any, runs: Mapping[str, Mapping[str, Interval]], x: str, marked: Collection[str] = ()) -> Any:
    """Draw `runs`, name -> group -> interval, as bars from 0 to 1, each run in a colour of its own; return the axes.

    `x`: what is drawn. `marked`: groups with an asterisk. What has no value has no bar.
    """
    groups = list(dict.fromkeys(group for run in runs.values() for group in run))
    axes = figure.subplots()
    places, thick = np.arange(len(groups))[::-1], 0.8 / max(len(runs), 1)
    for index, (name, run) in enumerate(runs.items()):
        value, ends = map(np.nan_to_num, spread([run.get(group) for group in groups]))
        own = places + ((len(runs) - 1) / 2 - index) * thick
        axes.barh(own, value, 0.92 * thick, color=COLOURS[1 - index], label=name)
        axes.errorbar(value, own, xerr=ends, fmt="none", ecolor=INK, alpha=0.45, elinewidth=0.9)
    axes.set_yticks(places, [f"{group} *" if group in marked else group for group in groups])
    axes.set(xlim=(0, 1.02), ylim=(-0.6, len(groups) - 0.4), xlabel=x)
    axes.yaxis.grid(False)
    return axes


def bars_svg(height: float, runs: Mapping[str, Mapping[str, Interval]], x: str, marked: Collection[str] = ()) -> str:
    """Return `bars` with their legend, `height` inches high, as an `<svg>` element."""
    with drawing(6.4, height) as figure:
        bars(figure, runs, x, marked)
        figure.legend(loc="outside upper left", ncols=max(len(runs), 1))
        return svg(figure)


def curves(figure: Any, runs: Mapping[str, Sequence[Interval]], x: str, y: str) -> Any:
    """Draw `runs`, name -> an interval at each of 1, 2, 3 …, as lines in bands from 0 to 1; return the axes.

    `x`, `y`: what is drawn over what.
    """
    axes = figure.subplots()
    for colour, (name, run) in zip(COLOURS, runs.items(), strict=False):
        places, (value, ends) = np.arange(1, len(run) + 1), spread(run)
        axes.plot(places, value, color=colour, marker="o", markersize=3.5, label=name)
        axes.fill_between(places, value - ends[0], value + ends[1], color=colour, alpha=0.13, linewidth=0)
    axes.set(ylim=(0, 1.02), xlabel=x, ylabel=y)
    figure.legend(loc="outside upper left", ncols=3, fontsize=9)
    return axes
