"""`python -m benchmarks.train_speed [--only PART] [--json FILE]`: the released RespoDiff loop next to ours.

On one machine, ten minutes on two idle cores. All ratios are released / ours: higher is better for ours.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator

from benchmarks.command import Options, Row, run
from benchmarks.speed.goal import time_to_goal
from benchmarks.speed.steps import on_emoji_world, on_sd15

PARTS = {"cost": on_emoji_world, "goal": time_to_goal, "sd15": on_sd15}


def rows(options: Namespace) -> Iterator[Row]:
    """Yield the figures of each part."""
    for part in options.only:
        yield from PARTS[part]()


OPTIONS: Options = {
    "--only": {"nargs": "+", "choices": list(PARTS), "default": list(PARTS), "help": "only these parts"},
}

if __name__ == "__main__":
    sys.exit(run("train_speed", __doc__, rows, OPTIONS))
