"""The rows on Emoji World's transformer. `run.py evidence --transformer`.

Modules are trained by the same presets and recipes as for the U-Net, less what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.graph import TRANSFORMER

from .methods import FAIRNESS, METHODS, RESPO, SAFETY, SIZED, Method, Training

NAMES = ("unmodified", "respodiff", "words", "negative", RESPO)
_RESPO = METHODS[RESPO]
ROWS: Mapping[str, Method] = {
    **{name: replace(METHODS[name], network=TRANSFORMER) for name in NAMES},
    RESPO: replace(
        _RESPO,
        network=TRANSFORMER,
        shipped=False,
        tasks=FAIRNESS + SAFETY + SIZED,
        training=Training("respo"),
        where={**_RESPO.where, **dict.fromkeys(SIZED, 0.3)},
    ),
}
