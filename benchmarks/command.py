"""What the benchmarks' command lines have in common."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from respo_train.core.files.write import write_atomically


def parser_of(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser for `python -m benchmarks.<name>` with the option --json."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--json", type=_new_file, metavar="FILE", help="write the figures there")
    return parser


def at_least(lowest: int) -> Callable[[str], int]:
    """Return a type for argparse: whole numbers from `lowest` on."""

    def number(text: str) -> int:
        if int(text) < lowest:
            raise argparse.ArgumentTypeError(f"expected at least {lowest}, found {text}")
        return int(text)

    return number


def write_figures(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON, if a file was named for them."""
    if path:
        write_atomically(path, (json.dumps(figures, indent=2) + "\n").encode())


def _new_file(text: str) -> Path:
    path = Path(text).absolute()
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"no folder {path.parent}; make it first")
    return path
