"""Rows of the ablations: our own row or another method's with one thing changed. `run.py evidence --ablations`.

What they are compared with, these two rows as they are, is drawn along.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .methods import METHODS, RESPO, Method, Training

BASES = (RESPO, "where")
SETS = ("gender", "subjects", "explicit")  # what a run draws unless it is told otherwise
_FAIRNESS = ("gender", "skin", "joint")
_WHERE = METHODS["where"]
# Gender before it had a map of h: beside a map, which can do much of what a grid does, little else would show.
_CONSTANT = {
    "map_width": None,
    "map_lr": None,
    "steps": 240,
    "target_guidance": 3.3,
    "lambda": 0.5,
    "responsible_lr": 0.05,
    "semantic_lr": 0.03,
}


def _ours(title: str, **changes: Any) -> Method:
    """Return our row with one other setting."""
    return replace(METHODS[RESPO], **{"title": f"Respo: {title}", "tasks": _FAIRNESS, "about": "", **changes})


def _constant(title: str, recipe: dict[str, Any] | None = None) -> Method:
    """Return our row with a constant for gender, trained with one thing changed (`recipe`: entries that differ)."""
    training = Training("respo", {**_CONSTANT, **(recipe or {})})
    return _ours(f"a constant, {title}", tasks=("gender",), training=training, shipped=False)


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
    "respo-no-where": _ours("without Where", where={}),
    "respo-every-prompt": _ours(
        "without the modules' probes", tasks=("subjects", "explicit"), balance={"only_open_prompts": False}
    ),
    "respo-random": _ours("random concepts instead of quotas", random=True),
    "respo-constant": _constant("no map of h"),
    "respo-responsible": _constant("responsible part alone", {"semantic_lr": 0.0}),
    **{f"respo-lambda-{x:g}": _constant(f"lambda {x:g}", {"lambda": x}) for x in (0.0, 0.25, 1.0, 4.0)},
    "respo-one-prompt": _constant("trained on 'a person' alone", {"train_on": "neutral"}),
    "respo-long": _constant("trajectories of 50 steps instead of 10", {"trajectory_steps": 50}),
    "respo-others": _constant("led away from the other concepts", {"target_from": "others"}),
    "respo-channel": _constant("a vector a channel instead of a grid", {"kind": "channel"}),
    "respo-low-rank": _constant("a grid of rank 4", {"kind": "low_rank", "rank": 4}),
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
