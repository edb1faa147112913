"""Show what a module file contains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.module.attribute import Attribute
from ..core.module.entanglement import overlaps
from ..core.module.grid import Grid
from ..core.shown import one_line

# The most interesting entries first; the file's other entries follow.
_FIRST = ("objective", "recipe", "half", "strength", "steps_done", "date", "licence")
HALVES = {"cond": "on the conditional half of guidance", "both": "on both halves of guidance"}
_MOST_PAIRS = 30


def describe(attribute: Attribute) -> str:
    """Return everything that the file contains, as tables."""
    base, training = attribute.base, attribute.training
    lines = [f"{attribute.name} ({attribute.purpose}) for {attribute.architecture.describe()}"]
    sha256 = f" (sha256 {one_line(base['sha256'], 16)})" if "sha256" in base else ""
    lines += [f"trained on {attribute.made_on}{sha256}", ""]
    lines += [*table(concept_rows(attribute)), *_probe(attribute), *_entanglement(attribute), ""]
    first = {key: training[key] for key in _FIRST if key in training}
    if (half := str(training.get("half"))) in HALVES:
        first["half"] = f"{half}: added {HALVES[half]}"
    if "strength" in training:
        first["strength"] = f"{training['strength']}: what it is meant for"
    rest = {key: value for key, value in training.items() if key not in _FIRST and key != "config"}
    lines += [*table(list(_flat({**first, **rest}))), ""]
    config = training.get("config", {})
    if config:
        lines += ["configuration", *table(list(_flat(config if isinstance(config, Mapping) else {"": config})), "  ")]
    return "\n".join(line.rstrip() for line in lines)


def concept_rows(attribute: Attribute) -> list[tuple[str, ...]]:
    """Return a header and one row per concept: its kind, its size and the norms of its parts."""
    rows: list[tuple[str, ...]] = [("concept", "kind", "size", "norm, responsible", "norm, semantic")]
    for name, module in attribute.concepts.items():
        sizes = [f"{float(part.value().detach().norm()):.4g}" for part in (module.responsible, module.semantic)]
        kind = module.responsible.kind + ("" if module.map is None else f", map of h by {module.map.width}")
        rows.append((name, kind, _size(module.responsible), *sizes))
    return rows


def _entanglement(attribute: Attribute) -> list[str]:
    """Return the cosines between concepts, most entangled pairs first."""
    pairs = overlaps(attribute.concepts)
    if not pairs:
        return []
    rows = [("entanglement (cosine)", "whole grid", "channel means")]
    for pair in pairs[:_MOST_PAIRS]:
        rows.append((f"{pair.first}, {pair.second}", _cosine(pair.grid), _cosine(pair.channels)))
    rest = len(pairs) - _MOST_PAIRS
    return ["", *table(rows), *([f"and {rest} less similar pairs"] if rest > 0 else [])]


def _cosine(value: float) -> str:
    return "one is zero" if math.isnan(value) else f"{value:+.3f}"


def _probe(attribute: Attribute) -> list[str]:
    if attribute.probe is None:
        return []
    words = len(attribute.probe.words)
    return ["", f"prompt probe: leaves prompts alone that have no person in them, or one of {words} stating words"]


def _size(grid: Grid) -> str:
    return " x ".join(str(size) for size in grid.value().shape)


def table(rows: Sequence[tuple[str, ...]], indent: str = "") -> Iterator[str]:
    """Yield the rows with aligned columns, all equally long; nothing if there are no rows."""
    rows = [tuple(one_line(cell, None) for cell in row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)
