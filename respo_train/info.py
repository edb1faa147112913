"""What a module file holds, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .core.attribute import Attribute
from .core.grid import Grid

# First what people ask for first; anything else that a file says follows.
_FIRST = ("objective", "recipe", "half", "steps_done", "date", "licence")
_HALVES = {"cond": "on the conditional half of guidance", "both": "on both halves of guidance"}


def describe(attribute: Attribute) -> str:
    """Return everything that the file says, as tables."""
    base, training = attribute.base, attribute.training
    lines = [f"{attribute.name} ({attribute.purpose}) for {attribute.architecture.describe()}"]
    lines += [
        f"trained on {base.get('name', 'an unnamed checkpoint')} (sha256 {str(base.get('sha256', '?'))[:16]})",
        "",
    ]
    rows: list[tuple[str, ...]] = [("concept", "kind", "size", "norm, responsible", "norm, semantic")]
    for name, module in attribute.concepts.items():
        sizes = [f"{float(part.value().detach().norm()):.4g}" for part in (module.responsible, module.semantic)]
        rows.append((name, module.responsible.kind, _size(module.responsible), *sizes))
    lines += [*_table(rows), *_probe(attribute), ""]
    first = {key: training[key] for key in _FIRST if key in training}
    if training.get("half") in _HALVES:
        first["half"] = f"{training['half']}: added {_HALVES[training['half']]}"
    rest = {key: value for key, value in training.items() if key not in _FIRST and key != "config"}
    lines += [*_table(list(_flat({**first, **rest}))), ""]
    config = training.get("config", {})
    lines += ["configuration", *_table(list(_flat(config if isinstance(config, Mapping) else {"": config})), "  ")]
    return "\n".join(line.rstrip() for line in lines)


def _probe(attribute: Attribute) -> list[str]:
    if attribute.probe is None:
        return []
    words = len(attribute.probe.words)
    return ["", f"probe of prompts: leaves those alone that show nobody, or have one of {words} words of its own"]


def _size(grid: Grid) -> str:
    return " x ".join(str(size) for size in grid.value().shape)


def _table(rows: Sequence[tuple[str, ...]], indent: str = "") -> Iterator[str]:
    """Yield the rows with their columns aligned, all of the same length."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)
