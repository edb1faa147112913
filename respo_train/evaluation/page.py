"""The page of an evaluation: one HTML file with everything in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.judge import UNSURE
from ..report.charts import bars_svg
from ..report.pages import Cell, Grid, Item, Page, Section, write_page
from .drawn import BETWEEN, Drawn
from .i2p import PART
from .measuring import Measuring
from .protocol import Part
from .ratios import deviation
from .rows import METHODS, Table, shown
from .seen import labels
from .steering import AFTER, BEFORE, GATED

_HIDDEN = ("modules", "checkpoint_sha256")  # facts for results.json; the modules stand above
_ROWS, _COLUMNS, _MISSED = 8, 5, 12  # of a grid; pictures that missed
_SHOWN = 84  # pixels of a picture in a grid
_ARROWS = {"low": "\u2193", "high": "\u2191"}  # down and up: which way is better


def write_evaluation_page(path: Path, title: str, done: Measuring, settings: Mapping[str, Any]) -> None:
    """Write the page of what was measured. `title`: of the protocol; `settings`: for people. Raises RespoError."""
    chips = [
        (m.attribute.name, ", ".join(m.attribute.concepts) + (f" × {m.strength}" if m.strength != 1 else ""))
        for m in done.steering.modules
    ]
    names = dict.fromkeys(row.section for row in done.table.rows)
    sections = [Section(name, "", [("table", _table(done.table, name))]) for name in names]
    if done.table.skipped:
        sections.append(Section("Skipped", "", [("lines", done.table.skipped)]))
    if charts := list(_charts(done)):
        note = "Lines: 95 % intervals. An asterisk marks what nothing was tuned on."
        sections.append(Section("Group by group", note, [("bars", charts)]))
    facts = [(n.replace("_", " ").capitalize(), _plain(v)) for n, v in settings.items() if n not in _HIDDEN]
    page = Page(
        kind=f"Respo evaluation · {title}",
        title=title,
        about="what the model draws",
        chips=chips or [("", "without modules")],
        items=list(_sentences(done)),
        facts=facts,
        sections=[*sections, *_pictures(done)],
        footer="Intervals: 95 %, by resampling pictures within their group and what they were asked to show.",
    )
    write_page(path, page)


def _sentences(done: Measuring) -> Iterator[Item]:
    """Say what the first set of pictures shows of each attribute."""
    for name in done.asked.shared:
        row = next((row for row in done.table.rows if row.key == f"deviation_{name}"), None)
        if row is not None and "modules" in row.figures:
            before, after, best = (shown(row.figures[m], "ratio") for m in ("unmodified", "modules", "perfect"))
            words = (
                f"deviation ratio {before[0]} without modules, {after[0]} with them ({after[1]}); drawn as asked "
                f"without exception it would be {best[0]}. 0: all equally often, 1: all the same."
            )
            yield "", f"{name}:", words, ""


def _table(table: Table, section: str) -> tuple[list[str], list[list[Cell]]]:
    """Return the columns' names and the rows of one section."""
    rows = [row for row in table.rows if row.section == section]
    methods = [name for name in METHODS if any(name in row.figures for row in rows)]
    lines: list[list[Cell]] = []
    for row in rows:
        what, _, of = row.title.partition(": ")
        lines.append([(f"{what} {_ARROWS[row.best]}", of)])
        for method in methods:
            figure = row.figures.get(method)
            value, interval = ("", "") if figure is None else shown(figure, row.unit)
            note = figure.note if figure else ""
            lines[-1].append((value, "\n".join(filter(None, (interval, note)))))
    return ["", *methods], lines


def _charts(done: Measuring) -> Iterator[tuple[str, str]]:
    """Yield (title, svg): each attribute's deviation ratio, group by group."""
    for part in done.parts:
        if part.stating or part.nobody or part.name not in ("neutral", "plus"):
            continue
        for name, concepts in {**done.asked.shared, **done.asked.others}.items():
            found = {}
            for title, variant in (("unmodified", BEFORE), ("with modules", AFTER)):
                by_group = _by_group(done.runs[part.name].get(variant, ()))
                if by_group:
                    found[title] = {g: deviation(done.judge, own, name, concepts) for g, own in by_group.items()}
            mean = f"0: {', '.join(concepts)} equally often; 1: all the same"
            groups = {group for run in found.values() for group in run}
            held_out = {one.group for one in done.runs[part.name][BEFORE] if one.held_out}
            drawn = bars_svg(0.34 * len(groups) + 1.1, found, mean, held_out)
            yield f"Deviation ratio, {name}: {part.title}", drawn


def _by_group(run: Sequence[Drawn]) -> dict[str, list[Drawn]]:
    found: dict[str, list[Drawn]] = {}
    for one in run:
        found.setdefault(one.group, []).append(one)
    return found


def _pictures(done: Measuring) -> list[Section]:
    """Return some of the pictures, unless the prompts are made to disturb."""
    if done.parts[0].name == PART:
        return [Section("Pictures", "Not shown, as such prompts are made to disturb. They are in the folder cells.")]
    note = "The same seeds in every column."
    sections = [Section(f"Pictures: {part.title}", note, [("grid", _grid(done, part))]) for part in done.parts]
    if missed := _missed(done, done.parts[0]):
        note = "Some of the pictures in which the judge does not see what was asked for."
        sections.append(Section("Not as asked", note, [("pictures", missed)]))
    return sections


def _grid(done: Measuring, part: Part) -> Grid:
    """Return a few prompts' first pictures in every variant, the same seeds side by side."""
    runs = done.runs[part.name]
    first: dict[str, dict[str, Drawn]] = {}
    for variant, run in runs.items():
        for one in reversed(run):  # the first cell of each prompt stays
            first.setdefault(one.prompt, {})[variant] = one
    prompts = list(dict.fromkeys(one.prompt for one in runs[BEFORE]))
    chosen = [prompts[int(i)] for i in np.linspace(0, len(prompts) - 1, min(len(prompts), _ROWS)).round()]
    names = {BEFORE: "unmodified", AFTER: "with modules", GATED: "with modules and gate"}
    rows = [(prompt, [first[prompt][variant].images[:_COLUMNS] for variant in runs]) for prompt in chosen]
    return Grid([names[variant] for variant in runs], rows, _SHOWN)


def _missed(done: Measuring, part: Part) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return (caption, picture) of some pictures in which the judge does not see what was asked for."""
    found = []
    for one in done.runs[part.name].get(AFTER, ()):
        for name, concepts in done.asked.shared.items():
            for row, (asked, label) in enumerate(zip(one.asked, labels(done.judge, one, name), strict=True)):
                wish = next((part for part in asked.split(BETWEEN) if part in concepts), label)
                if label != wish:
                    words = "the judge is unsure" if label == UNSURE else f"{label} seen"
                    found.append((one, row, f"{one.group}: {wish} asked, {words}"))
    chosen = [found[int(i)] for i in np.linspace(0, len(found) - 1, min(len(found), _MISSED)).round()] if found else []
    return [(caption, one.images[row]) for one, row, caption in chosen]


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
