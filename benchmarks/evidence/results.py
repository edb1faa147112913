"""results.json: {method: {metric: {"value", "low", "high", "n"}}}."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from respo_train.core.files.write import write_atomically
from respo_train.evaluation.figure import Figure

Results = Mapping[str, Mapping[str, Figure]]
Found = dict[str, dict[str, Figure]]


def write(path: Path, results: Results) -> None:
    """Write all figures. What is not a number is null, and its note says why."""
    plain = {method: {name: one.to_dict() for name, one in own.items()} for method, own in results.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(plain, indent=1) + "\n").encode())


def read(path: Path) -> Found:
    """Read what `write` wrote."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    return {method: {name: Figure.from_dict(one) for name, one in own.items()} for method, own in plain.items()}


def remembered(path: Path, measured: Callable[[], Results]) -> Found:
    """Read what is kept in `path`; measure and keep it where nothing can be read."""
    try:
        return read(path)
    except (OSError, ValueError):
        write(path, measured())
        return read(path)
