"""Rows of the ablations: our own row or another method's with one thing changed. `run.py evidence --ablations`.

What they are compared with, these two rows as they are, is drawn along.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .methods import METHODS, RESPO, Method, Training

BASES = (RESPO, "where")
SETS = ("gender", "subjects", "explicit")  # what a run draws unless it is told otherwise
_FAIRNESS = ("gender", "skin", "joint")
_WHERE = METHODS["where"]


def _ours(title: str, recipe: dict[str, Any] | None = None, **changes: Any) -> Method:
    """Return our row with other modules (`recipe`: entries that differ) or other settings."""
    own = replace(METHODS[RESPO], title=f"Respo: {title}", tasks=_FAIRNESS, about="", **changes)
    return own if recipe is None else replace(own, training=Training("respo", recipe), shipped=False)


def _where(title: str, recipe: dict[str, Any] | None = None, **changes: Any) -> Method:
    """Return our reading of Where It Matters with one thing changed."""
    known = _WHERE.training.changes if _WHERE.training else {}
    training = Training("where", {**known, **(recipe or {})})
    return replace(
        _WHERE, title=f"Where It Matters: {title}", tasks=_FAIRNESS, about="", **{"training": training, **changes}
    )


def _parts(**parts: Any) -> dict[str, Any]:
    return {"where": parts}


_NONE = {"suppress": False, "attenuate": False, "weigh": False}
ABLATIONS: dict[str, Method] = {
    "respo-responsible": _ours("responsible part alone", {"semantic_lr": 0.0}),
    **{f"respo-lambda-{x:g}": _ours(f"lambda {x:g}", {"lambda": x}) for x in (0.0, 0.25, 1.0, 4.0)},
    "respo-one-prompt": _ours("trained on 'a person' alone", {"train_on": "neutral"}),
    "respo-long": _ours("trajectories of 50 steps instead of 10", {"trajectory_steps": 50}),
    "respo-others": _ours("led away from the other concepts", {"target_from": "others"}),
    "respo-channel": _ours("a vector a channel instead of a grid", {"kind": "channel"}),
    "respo-low-rank": _ours("a grid of rank 4", {"kind": "low_rank", "rank": 4}),
    "respo-no-where": _ours("without Where", where={}),
    "respo-every-prompt": replace(
        METHODS[RESPO],
        title="Respo: without the modules' probes",
        tasks=("subjects", "explicit"),
        balance={"only_open_prompts": False},
        about="",
    ),
    "respo-random": _ours("random concepts instead of quotas", random=True),
    "where-all-steps": _where("all of the recipe's 10,000 steps", {"steps": 10_000}),
    "where-nothing": _where("none of the three parts", _parts(**_NONE)),
    "where-suppress": _where("chi alone", _parts(**{**_NONE, "suppress": True})),
    "where-attenuate": _where("m alone", _parts(**{**_NONE, "attenuate": True})),
    "where-weigh": _where("beta alone", _parts(**{**_NONE, "weigh": True})),
    "where-last": _where("chi in the last layer only", _parts(layers="last")),
    **{f"where-tau-{x:g}": _where(f"tau {x:g}", _parts(tau=x)) for x in (0.3, 0.7)},
    **{f"where-beta-{x:g}": _where(f"beta {x:g}", _parts(beta=x)) for x in (0.2, 0.6)},
    "where-grid": _where("a grid instead of a vector a channel", {"kind": "grid"}),
    "where-no-background": _where("one pass, without the background", background=None),
    **{f"where-background-{x:g}": _where(f"lambda_bg {x:g}", background=x) for x in (0.2, 0.5)},
    **{f"where-levels-{n}": _where(f"low band of {n} levels", levels=n) for n in (2, 3)},
}
ROWS: Mapping[str, Method] = ChainMap(ABLATIONS, METHODS)
