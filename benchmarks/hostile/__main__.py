"""`python -m benchmarks.hostile files|workflows [--count N] [--json FILE]`: what strangers could send to what we ship.

`files`: good files with something wrong, through everything that reads files. Status 1 when one was neither read right
nor refused with our own error, took more than a second, ended or stopped the process, or left something. Linux only.
`workflows`: valid graphs in which a few inputs hold what a stranger could write, through a real server. Status 1 when
an answer is none of the good ones, or a file outside the server's own folders and `respo` was made, changed or deleted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.command import write_figures

from .files import Files
from .workflows import Workflows

_TARGETS = {"files": Files, "workflows": Workflows}
_COUNTS = {"files": 10_000, "workflows": 2000}


def main() -> int:
    """Attack in a folder of its own, print the figures and write them to --json; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("what", choices=_TARGETS)
    parser.add_argument("--count", type=int, help=f"how many examples (default {_COUNTS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _TARGETS[options.what](Path(folder)) as target:
        tally = target.run(options.count or _COUNTS[options.what])
    write_figures(options.json, vars(tally))
    print(json.dumps(vars(tally), indent=2))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
