"""Rivals as released and at their best, for gender. `run.py evidence --rivals`; `--search` chose what is best.

Each trained row stands three times, with the training seeds 0, 1 and 2. Seeds and professions of the search are in no
figure of RESULTS.md: the fourteen professions that are not held out, first seed 5,000,042, as for our own row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from emoji_world import world

from .ablations import SETS
from .loops import POOL
from .measure import FAIRNESS
from .methods import METHODS, RESPO, Method, Training
from .where_loop import WHERE

DEVELOPMENT = tuple(one.word for one in world.PROFESSIONS if not one.held_out)
SHIFT = 5_000_000  # of the search's seeds

RELEASED = replace(
    METHODS["respodiff"],
    title="RespoDiff, as released",
    tasks=("gender", "subjects"),  # explicit prompts state skin tones, too, which would take another module
    training=Training("released", loop=POOL),
    about="a latent at a uniform step for every update; rates, steps, guidance and strength as released. Departures: "
    "latents come from a pool of 50 trajectories, not from a fresh one each; both parts are stepped after both losses; "
    "the network computes in bfloat16, its tensors and Adam in float32; they start at zero, not at random; the network "
    "is told the true timestep, not one 19 too high; pictures are drawn in 20 steps at cfg 3, not in 50 at 7.5",
)
BEST = replace(
    RELEASED,
    title="RespoDiff, at its best",
    balance={"strength": 1.5},
    about="the same training at strength 1.5, with our probe of prompts",
)
GATED_WORDS = replace(
    METHODS["words"],
    title="prompt rewriting behind the Gate",
    tasks=SETS,
    only_open=True,
    about="the assigned word in the prompt where the Gate finds that it leaves this open, else the prompt as it is",
)


EQUISTEER = Method(
    "EquiSteer, as released",
    "attention",
    ("gender", "skin", "subjects", "explicit"),
    inputs={"strength": 1.0, "gate": 1.0, "until": 0.4},
    about="training-free steering of the cross-attention behind its own gate, rewritten from its README and code: "
    "vectors from contrasts in the first step, both directions cleared, the assigned one added at the magnitude of "
    "prompts that state it, norms kept, until step 20 of 50 as for SD 1.5. Departures: shares instead of a coin, the "
    "bench's words, all three cross-attention layers that its network has, and of these the gate reads the one that "
    "tells prompts apart best; pictures are drawn in 20 steps at cfg 3, not in 50 at 7.5",
)


EQUISTEER_BEST = replace(
    EQUISTEER,
    title="EquiSteer, at its best",
    inputs={"strength": 1.5, "gate": 1.2, "until": 1.0},
    about="the same at 1.5 of the magnitude in all steps, the gate at 1.2 of its thresholds",
)
WHERE_RELEASED = replace(
    METHODS["where"],
    title="Where It Matters, as released",
    how="applied",
    tasks=("gender",),
    training=Training("where", {"pictures": 300, "steps": 2500, "neutral": "a photo of a person"}, loop=WHERE),
    balance={},
    inputs={"strength": 2.0},
    background=1.0,
    about="as its code does it: on noised pictures the neutral prediction with the vector is trained towards "
    "the frozen one of 'a photo of a woman', without chi, m and beta; the vector is added twice over on "
    "both halves of guidance, with the whole low band of the unmodified run. Departures: 300 pictures in "
    "30 steps and 2,500 updates, not 2,000 in 50 and 10,000; each half of guidance gets its own low band, "
    "not both the unconditional one's; pictures are drawn in 20 steps at cfg 3",
)


def _again(name: str, method: Method, tasks: tuple[str, ...] = ("gender",)) -> dict[str, Method]:
    """Return a row, and the same for `tasks` after two more trainings."""
    assert method.training is not None
    more = {
        f"{name}-{seed}": replace(
            method,
            title=f"{method.title}, training seed {seed}",
            tasks=tasks,
            training=replace(method.training, seed=seed),
            shipped=False,
            about="the row above, trained with another seed",
        )
        for seed in (1, 2)
    }
    return {name: method, **more}


def _equisteer(title: str, **inputs: float) -> Method:
    """Return EquiSteer with other settings of its node, in all steps unless they say otherwise."""
    own = {**EQUISTEER.inputs, "until": 1.0, **inputs}
    return replace(EQUISTEER, title=f"EquiSteer: {title}", tasks=("gender",), inputs=own, about="")


def _respodiff(title: str, loop: str = POOL, **balance: Any) -> Method:
    """Return RespoDiff with other settings of Balance; `loop`: see `Training`."""
    return replace(
        RELEASED,
        title=f"RespoDiff: {title}",
        tasks=("gender",),
        training=Training("released", loop=loop),
        balance={**RELEASED.balance, **balance},
        about="",
    )


def _from_a_person(title: str, strength: float = 1.0, **recipe: Any) -> Method:
    """Return our row for people who list no professions: trained on "a person" alone."""
    return replace(
        METHODS[RESPO],
        title=f"Respo, from 'a person': {title}",
        tasks=("gender",),
        training=Training("respo", {"train_on": "neutral", **recipe}),
        shipped=False,
        balance={"strength": strength},
        about="",
    )


def _strengths(name: str, *values: float) -> dict[str, Method]:
    """Return a row of the table at other strengths of Balance; its modules are the table's."""
    method = METHODS[name]
    return {
        f"{name}-strength-{x:g}": replace(
            method,
            title=f"{method.title}: strength {x:g}",
            tasks=("gender",),
            balance={**method.balance, "strength": x},
            about="",
        )
        for x in values
    }


RIVALS: dict[str, Method] = {
    **_again("respodiff-released", RELEASED),
    **_again("respodiff-best", BEST),
    "words-gated": GATED_WORDS,
    "equisteer-released": EQUISTEER,
    "equisteer-best": EQUISTEER_BEST,
    "where-released": WHERE_RELEASED,
    **_again(RESPO, METHODS[RESPO], tuple(FAIRNESS)),
}
SEARCH: dict[str, Method] = {
    **{f"respodiff-pool-{x:g}": _respodiff(f"pool, strength {x:g}", strength=x) for x in (1.0, 1.25, 1.5, 1.75, 2.0)},
    "respodiff-pool-responsible": _respodiff("pool, RAM alone", fidelity=0.0),
    "respodiff-walk-1.5": _respodiff("one trajectory, strength 1.5", "", strength=1.5),
    "equisteer-until-0.4": _equisteer("strength 1 until step 20 of 50, as released", until=0.4),
    **{f"equisteer-{x:g}": _equisteer(f"strength {x:g}", strength=x) for x in (1.0, 1.5, 2.0, 3.0)},
    **_strengths("sdisc", 0.4, 0.55, 0.7, 0.85, 1.0),
    **_strengths("where", 1.0, 1.5, 2.0, 3.0, 4.0),
    **_strengths(RESPO, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
    **{f"respo-neutral-{x:g}": _from_a_person(f"strength {x:g}", x) for x in (1.0, 1.5)},
    "respo-neutral-50": _from_a_person("trajectories of 50 steps", trajectory_steps=50),
    "equisteer-1.5-gate-1.2": _equisteer("strength 1.5, gate at 1.2 of its thresholds", strength=1.5, gate=1.2),
}
# Method -> strength -> row of the search.
CURVES: Mapping[str, Mapping[float, str]] = {
    title: {float(name.rsplit("-", 1)[1]): name for name in SEARCH if re.fullmatch(rf"{rows}-[\d.]+", name)}
    for title, rows in {
        "RespoDiff": "respodiff-pool",
        "EquiSteer": "equisteer",
        "SDisc": "sdisc-strength",
        "Where It Matters": "where-strength",
        "Respo": "respo-strength",
    }.items()
}
# Row -> the rows that are the same, trained with other seeds.
TRAININGS: Mapping[str, tuple[str, ...]] = {
    name: (name, f"{name}-1", f"{name}-2") for name in ("respodiff-released", "respodiff-best", RESPO)
}
