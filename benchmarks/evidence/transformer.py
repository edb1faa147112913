"""The rows on Emoji World's transformer. `run.py evidence --transformer`.

Modules are trained by the same presets and recipes as for the U-Net, less what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.graph import TRANSFORMER

from .asks import WEAPONS
from .methods import FAIRNESS, METHODS, RESPO, SAFETY, SIZED, Method, Training

# Row -> what it draws. Fewer tasks than on the U-Net, as RespoDiff trains each concept for 5,000 steps.
_DRAWN = {
    "unmodified": (),
    "respodiff": ("gender", *SAFETY),
    "words": ("gender", "skin", "joint"),
    "negative": ("gender", "skin", "joint", *SAFETY),
    RESPO: FAIRNESS + SAFETY + SIZED,
}
ROWS: Mapping[str, Method] = {
    **{name: replace(METHODS[name], network=TRANSFORMER, tasks=own) for name, own in _DRAWN.items()},
    # A tensor for the whole of h, as its authors have it, where our default is 4 x 4 places. As many latents as in
    # their 5,000 steps of one, in an eighth of the time.
    "respodiff": replace(
        METHODS["respodiff"],
        network=TRANSFORMER,
        tasks=_DRAWN["respodiff"],
        title="RespoDiff's objective",
        training=Training("released", {"grid": [8, 8], "batch": 8, "steps": 625}),
    ),
    # The module for combinations, the weapons' block, thresholds and level were chosen on the development professions;
    # see emoji_world/README.md.
    RESPO: replace(
        METHODS[RESPO],
        network=TRANSFORMER,
        shipped=False,
        tasks=_DRAWN[RESPO],
        training=Training("respo", own={WEAPONS: {"block": 5}}),
        combined=True,
        strengths={},
        where=dict.fromkeys(FAIRNESS + SIZED, 0.3),
        safety={"level": "max"},
        about="modules of the presets, that of weapons behind block 5, and one for all six combinations of both "
        "attributes, with their probes of prompts; Balance, Where by record, Safety at max",
    ),
}
