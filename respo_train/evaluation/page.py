"""The page of an evaluation: one HTML file with everything in it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core.files.checkpoint import write_atomically
from ..core.judge import UNSURE
from . import figures
from .bars import Bars, svg
from .drawn import BETWEEN, Drawn
from .i2p import PART
from .measuring import Questions
from .protocol import Part, Protocol
from .rows import METHODS, Table, shown
from .seen import Looks, labels
from .steering import AFTER, BEFORE, GATED, Steering

_HIDDEN = ("modules", "checkpoint_sha256")  # facts for results.json; the modules stand above
_ROWS, _COLUMNS, _MISSED, _SIDE = 8, 5, 12, 128  # of a grid; pictures that missed; pixels of a picture on the page


@dataclass(frozen=True)
class Page:
    """All that the page shows."""

    protocol: Protocol
    judge: Looks
    steering: Steering
    asked: Questions
    parts: Sequence[Part]
    runs: Mapping[str, Mapping[str, Sequence[Drawn]]]
    table: Table
    settings: Mapping[str, Any]


def write_page(path: Path, page: Page) -> None:
    """Write the page. Raises RespoError."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # slow to import, and only wanted at the end

    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader([here, here.parent / "report"]),
        autoescape=True,  # prompts, names and paths are somebody else's
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_atomically(path, environment.get_template("evaluation.html").render(_values(page)).encode())


def _values(page: Page) -> dict[str, Any]:
    drawn_first = page.parts[0]
    return {
        "title": page.protocol.title,
        "modules": [
            (m.attribute.name, m.attribute.purpose, list(m.attribute.concepts), m.strength)
            for m in page.steering.modules
        ],
        "sentences": list(_sentences(page)),
        "facts": [(n.replace("_", " ").capitalize(), _plain(v)) for n, v in page.settings.items() if n not in _HIDDEN],
        "sections": _sections(page.table),
        "skipped": page.table.skipped,
        "charts": list(_charts(page)),
        "grids": [] if drawn_first.name == PART else [_grid(page, part) for part in page.parts],
        "hidden": drawn_first.name == PART,
        "missed": [] if drawn_first.name == PART else _missed(page, drawn_first),
        "side": _SIDE,
    }


def _sentences(page: Page) -> Any:
    """Yield (attribute, before, after, perfect) of the first set in words."""
    for name in page.asked.shared:
        row = next((row for row in page.table.rows if row.key == f"deviation_{name}"), None)
        if row is not None and "modules" in row.figures:
            before, after, best = (shown(row.figures[m], "ratio") for m in ("unmodified", "modules", "perfect"))
            yield name, before[0], after, best[0]


def _sections(table: Table) -> list[dict[str, Any]]:
    found = []
    for section in dict.fromkeys(row.section for row in table.rows):
        rows = [row for row in table.rows if row.section == section]
        methods = [name for name in METHODS if any(name in row.figures for row in rows)]
        lines = []
        for row in rows:
            what, _, of = row.title.partition(": ")
            cells = [(*shown(row.figures[m], row.unit), row.figures[m]) if m in row.figures else None for m in methods]
            lines.append({"what": what, "of": of, "best": row.best, "cells": cells})
        found.append({"name": section, "methods": methods, "rows": lines})
    return found


def _charts(page: Page) -> Any:
    """Yield (title, svg): each attribute's deviation ratio, group by group."""
    for part in page.parts:
        if part.stating or part.nobody or part.name not in ("neutral", "plus"):
            continue
        for name, concepts in {**page.asked.shared, **page.asked.others}.items():
            bars = {}
            for title, variant in (("unmodified", BEFORE), ("with modules", AFTER)):
                by_group = _by_group(page.runs[part.name].get(variant, ()))
                if by_group:
                    bars[title] = {g: figures.deviation(page.judge, own, name, concepts) for g, own in by_group.items()}
            mean = f"0: {', '.join(concepts)} equally often; 1: all the same"
            yield f"Deviation ratio, {name}: {part.title}", svg(Bars(mean, bars, _held_out(page, part)))


def _held_out(page: Page, part: Part) -> set[str]:
    return {one.group for one in page.runs[part.name][BEFORE] if one.held_out}


def _by_group(run: Sequence[Drawn]) -> dict[str, list[Drawn]]:
    found: dict[str, list[Drawn]] = {}
    for one in run:
        found.setdefault(one.group, []).append(one)
    return found


def _grid(page: Page, part: Part) -> dict[str, Any]:
    """Return a few prompts' first pictures in every variant, the same seeds side by side."""
    runs = page.runs[part.name]
    first: dict[str, dict[str, Drawn]] = {}
    for variant, run in runs.items():
        for one in reversed(run):  # the first cell of each prompt stays
            first.setdefault(one.prompt, {})[variant] = one
    prompts = list(dict.fromkeys(one.prompt for one in runs[BEFORE]))
    chosen = [prompts[int(i)] for i in np.linspace(0, len(prompts) - 1, min(len(prompts), _ROWS)).round()]
    names = {BEFORE: "unmodified", AFTER: "with modules", GATED: "with modules and gate"}
    rows = []
    for prompt in chosen:
        cells = [(names[v], [_picture(p) for p in first[prompt][v].images[:_COLUMNS]]) for v in runs]
        rows.append((prompt, cells))
    return {"title": part.title, "columns": [names[v] for v in runs], "rows": rows}


def _missed(page: Page, part: Part) -> list[tuple[str, str]]:
    """Return (caption, picture) of some pictures in which the judge does not see what was asked for."""
    found = []
    for one in page.runs[part.name].get(AFTER, ()):
        for name, concepts in page.asked.shared.items():
            for row, (asked, label) in enumerate(zip(one.asked, labels(page.judge, one, name), strict=True)):
                wish = next((part for part in asked.split(BETWEEN) if part in concepts), label)
                if label != wish:
                    words = "the judge is unsure" if label == UNSURE else f"{label} seen"
                    found.append((one, row, f"{one.group}: {wish} asked, {words}"))
    chosen = [found[int(i)] for i in np.linspace(0, len(found) - 1, min(len(found), _MISSED)).round()] if found else []
    return [(caption, _picture(one.images[row])) for one, row, caption in chosen]


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _picture(pixels: NDArray[np.uint8]) -> str:
    data = io.BytesIO()
    picture = Image.fromarray(np.asarray(pixels))
    picture.thumbnail((2 * _SIDE, 2 * _SIDE))
    picture.save(data, "WEBP", quality=85, method=4)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
