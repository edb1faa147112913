"""What a benchmark is run by: options of the command line, rows of figures as they come, and JSON."""

from __future__ import annotations

import argparse
import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from benchmarks.comfy_server import PromptFailed, ServerError
from respo_train.core.errors import RespoError
from respo_train.core.files.write import write_atomically

Options = Mapping[str, Mapping[str, Any]]  # flag -> the other arguments of argparse's `add_argument`
Row = tuple[str, Mapping[str, Any]]  # its name and its figures: numbers, texts, Intervals, and mappings of these


def run(name: str, about: str | None, rows: Callable[[Namespace], Iterator[Row]], options: Options) -> int:
    """Be `python -m benchmarks.<name>`: print each row as soon as it is there, and write all of them to --json.

    `about`: the help's text. `rows`: from the parsed options. `options`: beside --json. Returns the exit status.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--json", type=_new_file, metavar="FILE", help="write the figures there")
    for option, settings in options.items():
        parser.add_argument(option, **settings)
    given = parser.parse_args()
    found: dict[str, Mapping[str, Any]] = {}
    try:
        for row, figures in rows(given):
            found[row] = figures
            print(f"{row}: {written(figures)}", flush=True)
            write_figures(given.json, {"arguments": sys.argv[1:], "rows": found})
    except (RespoError, ServerError, PromptFailed) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return 0


def write_figures(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON, if a file was named for them."""
    if path:
        write_atomically(path, (json.dumps(figures, indent=2, default=_plain) + "\n").encode())


def written(value: Any) -> str:
    """Return figures as text for people: "ratio 0.0123 [0.004, 0.03], pictures 216"."""
    value = _plain(value) if is_dataclass(value) else value
    if isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys():
        return f"{written(value['value'])} [{written(value['low'])}, {written(value['high'])}]"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {written(own)}" for name, own in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def whole(what: str, usual: int | None, fewest: int) -> dict[str, Any]:
    """Return an option that is a whole number: what it is, when it is not given, and the lowest that is taken."""

    def number(text: str) -> int:
        if int(text) < fewest:
            raise argparse.ArgumentTypeError(f"expected at least {fewest}, found {text}")
        return int(text)

    more = "" if usual is None else f" (default {usual})"
    return {"type": number, "default": usual, "help": what + more, "metavar": "N"}


def pictures(usual: int, fewest: int = 1) -> dict[str, Any]:
    """Return the option of how many pictures a profession gets."""
    return whole("pictures a profession", usual, fewest)


def _plain(value: Any) -> Any:
    return value.to_dict() if hasattr(value, "to_dict") else asdict(value)


def _new_file(text: str) -> Path:
    path = Path(text).absolute()
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"no folder {path.parent}; make it first")
    return path
