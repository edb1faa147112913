"""The rows of the table: plain values, one entry a method. What our own row is made of stands here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.graph import UNET, Network

from .asks import GENDER, JOINT, SKIN, WEAPONS

_COMBINED = Path(__file__).with_name("gender_and_skin_tone.toml")
PRESETS = {GENDER: "gender", SKIN: "skin_tone", WEAPONS: "no_weapons", JOINT: str(_COMBINED)}
SHIPPED = {
    GENDER: "emoji_world_gender.safetensors",
    SKIN: "emoji_world_skin_tone.safetensors",
    WEAPONS: "emoji_world_no_weapons.safetensors",
}
FAIRNESS = ("gender", "skin", "joint", "subjects", "explicit")
SAFETY = ("night", "day")
GATED = ("subjects gated", "explicit gated")
SIZED = ("gender_192", "gender_96x160")
# Only our own modules are meant to have a probe; the papers' methods change every prompt.
_EVERY_PROMPT = {"only_open_prompts": False}


@dataclass(frozen=True)
class Training:
    """How a method's modules are trained: `python -m respo_train train --recipe ...`, one run an attribute.

    `changes`: entries of a recipe that differ from it, for the attributes' presets; `own`: attribute -> more of these.
    `seed`: of its random numbers. `loop`: one of `training.LOOPS` instead of the recipe's objective.
    """

    recipe: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    loop: str = ""
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """One row. `how`: which graph draws it.

    plain     the checkpoint as it is
    modules   Load Module, Balance (Safety for weapons), and what else is set here
    words     the assigned concept's word goes into the prompt
    negative  what is not assigned goes into the negative prompt
    applied   Apply Module for the pictures of each concept apart: on the half of guidance that modules are made for
    attention cross-attention is steered, by a node of `server_nodes`
    `training`: of its modules; `shipped`: the shipped ones draw, and training them anew is only timed.
    `balance`: inputs of Balance that differ from a new node's; `strengths`: task -> its strength there; `safety`: those
    of Safety; `inputs`: those of the node of applied or attention. `where`: task -> threshold of Where by record; none
    where a task is missing.
    """

    title: str
    how: Literal["plain", "modules", "words", "negative", "applied", "attention"]
    tasks: tuple[str, ...]
    training: Training | None = None
    shipped: bool = False
    balance: Mapping[str, Any] = field(default_factory=dict)
    strengths: Mapping[str, float] = field(default_factory=dict)
    safety: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, float] = field(default_factory=dict)
    where: Mapping[str, float] = field(default_factory=dict)
    where_of_safety: float | None = None
    background: float | None = None
    levels: int = 1  # of Background's low band
    random: bool = False  # concepts by chance instead of quotas
    combined: bool = False  # where two attributes are shared out, one module for all combinations does it
    only_open: bool = False  # words: rewritten only where the Gate finds that the prompt leaves the attribute open
    network: Network = UNET
    about: str = ""


RESPO = "respo"
METHODS: dict[str, Method] = {
    "unmodified": Method("unmodified", "plain", (), about="the checkpoint as it is"),
    "sdisc": Method(
        "SDisc",
        "modules",
        FAIRNESS + SAFETY,
        training=Training("sdisc", {"pictures": 300}),
        balance=_EVERY_PROMPT,
        about="noise reconstruction (recipe `sdisc`), applied by Balance",
    ),
    "respodiff": Method(
        "RespoDiff",
        "modules",
        FAIRNESS + SAFETY,
        training=Training("released"),
        balance=_EVERY_PROMPT,
        about="recipe `released`, applied by Balance: rates, steps, guidance and strength as its authors released "
        "them, but the latents of one trajectory in turn, where they draw a fresh trajectory for every update",
    ),
    "where": Method(
        "Where It Matters, our reading",
        "modules",
        FAIRNESS + SAFETY,
        training=Training("where", {"pictures": 300, "steps": 2500}),
        balance=_EVERY_PROMPT,
        background=0.35,
        about="a vector a channel (recipe `where`, a quarter of its steps), and .35 of the low band of the unmodified "
        "run's h on both halves of guidance (Record Run, Background); the vector acts on the conditional half, as "
        "everywhere in Balance",
    ),
    "words": Method(
        "prompt rewriting",
        "words",
        FAIRNESS,
        about="the assigned word in the prompt, 'a photo of a woman doctor': what people do today",
    ),
    "negative": Method(
        "negative prompt",
        "negative",
        FAIRNESS + SAFETY,
        about="what is not assigned in the negative prompt: 'a man', or 'a weapon'",
    ),
    RESPO: Method(
        "Respo",
        "modules",
        FAIRNESS + GATED + SAFETY,
        training=Training("respo"),
        shipped=True,
        strengths={"joint": 0.65},
        where={**dict.fromkeys(FAIRNESS + GATED, 0.3), "skin": 0.18, "joint": 0.2},
        about="the shipped modules with their probes of prompts, Balance (at strength 0.65 where two attributes are "
        "shared), Where by record, Safety at strong, and the Gate where it is said",
    ),
}
