"""The table: one row for each metric, one column for each method, and what could not be measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .figure import Figure

UNMODIFIED, MODULES, GATED = "unmodified", "modules", "modules, gated"
PERFECT, COIN = "perfect", "coin flip"
METHODS = (UNMODIFIED, MODULES, GATED, PERFECT, COIN)
# How a number is written.
UNITS = {
    "ratio": "{:.3f}",
    "share": "{:.1%}",
    "points": "{:+.1%}",
    "dB": "{:.1f} dB",
    "distance": "{:.3g}",
    "logit": "{:.2f}",
    "seconds": "{:.2f}",
    "minutes": "{:.1f}",  # of a figure in seconds
}


@dataclass(frozen=True)
class Row:
    """One metric of one or more methods.

    `key`: its name in results.json. `title`: "what: of which pictures". `best`: "low" or "high".
    """

    section: str
    key: str
    title: str
    unit: str
    best: str
    figures: Mapping[str, Figure]


@dataclass
class Table:
    """All rows, and why others are missing."""

    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, section: str, key: str, title: str, unit: str, best: str, **figures: Figure | None) -> None:
        """Add a row; `figures`: before, after, gated, perfect, coin; None where a method has none."""
        names = {"before": UNMODIFIED, "after": MODULES, "gated": GATED, "perfect": PERFECT, "coin": COIN}
        found = {names[name]: figure for name, figure in figures.items() if figure is not None}
        self.rows.append(Row(section, key, title, unit, best, found))

    def skip(self, what: str) -> None:
        """Note, only once, what is not measured and why."""
        if what not in self.skipped:
            self.skipped.append(what)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return {method: {metric: {"value", "low", "high", "n"}}}."""
        return {
            method: {row.key: row.figures[method].to_dict() for row in self.rows if method in row.figures}
            for method in METHODS
            if any(method in row.figures for row in self.rows)
        }


def written(number: float, unit: str) -> str:
    """Return a number as text with its unit."""
    return UNITS[unit].format((number / 60 if unit == "minutes" else number) + 0.0)


def shown(figure: Figure, unit: str) -> tuple[str, str]:
    """Return a figure's value and interval as text; "–" where there is none."""
    if figure.value != figure.value:  # NaN
        return "–", ""
    numbers = [written(number, unit) for number in (figure.value, figure.low, figure.high)]
    interval = "" if figure.low != figure.low else f"{numbers[1]} … {numbers[2]}"
    return numbers[0], interval
