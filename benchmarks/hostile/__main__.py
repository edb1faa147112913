"""`python -m benchmarks.hostile files|workflows [--count N] [--json FILE]`: what strangers could send to what we ship.

`files`: good files with something wrong, through everything that reads files. Status 1 when one was neither read right
nor refused with our own error, took more than a second, ended or stopped the process, or left something. Linux only.
`workflows`: valid graphs in which a few inputs hold what a stranger could write, through a real server. Status 1 when
an answer is none of the good ones, or a file outside the server's own folders and `respo` was made, changed or deleted.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from respo_train.core.files.write import write_atomically

from . import files, workflows

_COUNTS = {"files": 10_000, "workflows": 2000}


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print, write; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("what", choices=_COUNTS)
    parser.add_argument("--count", type=int, help=f"how many examples (default {_COUNTS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # lone surrogates
    attack = {"files": files.attack, "workflows": workflows.attack}[options.what]
    tally = attack(options.count or _COUNTS[options.what], lambda line: print(line, flush=True))
    figures = json.dumps(vars(tally), indent=2)
    print(figures)
    if options.json:
        write_atomically(options.json, (figures + "\n").encode())
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
