"""Widgets that several nodes share, and the shared definition of "off"."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any

from comfy_api.latest import io

from .wire import RespoRecord


def named(advanced: Collection[str] = ()) -> Callable[[Callable[[Any], io.Schema]], Callable[[Any], io.Schema]]:
    """Decorate a `define_schema`: give the inputs names that people read, and mark those of the `advanced` ids so.

    Hosts that know "advanced" show such a widget when it is linked, or together with the others that are advanced. The
    inputs of our oldest host take no argument of that name, but pass `extra_dict` on.
    """

    def decorate(define: Callable[[Any], io.Schema]) -> Callable[[Any], io.Schema]:
        @wraps(define)
        def define_schema(cls: Any) -> io.Schema:
            schema = define(cls)
            for part in schema.inputs:
                if part.display_name is None and part.id.isidentifier():  # Safety's switches have files' names
                    part.display_name = part.id.replace("_", " ")
                if part.id in advanced:
                    part.extra_dict = {**part.extra_dict, "advanced": True}
            return schema

        return define_schema

    return decorate


def strength() -> io.Float.Input:
    """Widget: the factor on the module's whole change of h."""
    return io.Float.Input(
        "strength",
        default=1.0,
        min=-5.0,
        max=5.0,
        step=0.05,
        tooltip="How strongly the module acts. 1 is what it was trained for, 0 is off (the very same picture as "
        "without this node), below 0 pushes the other way. Above 2, pictures may fall apart.",
    )


def fidelity() -> io.Float.Input:
    """Widget: the factor on the semantic part, which is added along with the responsible part."""
    return io.Float.Input(
        "fidelity",
        default=1.0,
        min=0.0,
        max=2.0,
        step=0.05,
        tooltip="How hard to hold on to the rest of the picture: the job, the scene, the look. 1 is what the module "
        "was trained for. Lower it if the module does too little, raise it if the subject drifts away.",
    )


def start_percent() -> io.Float.Input:
    """Widget: the point of the sampling where the module starts to act."""
    return io.Float.Input(
        "start_percent",
        default=0.0,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="When to begin: 0 is the first step, 0.2 leaves the first fifth alone, which keeps more of the "
        "picture's layout.",
    )


def end_percent() -> io.Float.Input:
    """Widget: the point of the sampling where the module stops acting."""
    return io.Float.Input(
        "end_percent",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="When to stop: 1 is the last step, 0.8 leaves the last fifth alone, which keeps more of the fine "
        "details. Nothing happens unless it is larger than start percent.",
    )


def enabled() -> io.Boolean.Input:
    """Widget: the on/off switch. Another node, e.g. Gate, can be linked to it."""
    return io.Boolean.Input(
        "enabled",
        default=True,
        label_on="on",
        label_off="off",
        tooltip="Off passes the model on untouched: the pictures are exactly those without this node.",
    )


def seed(tooltip: str, control: bool = True) -> io.Int.Input:
    """Widget: a seed in the range of the host's samplers; `control`: with "control after generate" below it."""
    return io.Int.Input(
        "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=control, tooltip=tooltip
    )


def count(tooltip: str) -> io.Int.Input:
    """Widget: how many pictures to write labels for."""
    return io.Int.Input("count", default=1, min=1, max=4096, tooltip=tooltip)


def module_name() -> io.String.Input:
    """Widget: the name to save a module under."""
    return io.String.Input(
        "name",
        default="my_module",
        tooltip="The file to write, in models/respo; mine/gender makes a subfolder. Load Module lists it after you "
        "press R.",
    )


def is_off(enabled: bool, strength: float, start_percent: float, end_percent: float) -> bool:
    """Return whether nothing would be added at any step. An empty range is off, and so is one that is not a number."""
    return not enabled or strength == 0 or not start_percent < end_percent


def record(tooltip: str) -> io.Input:
    """Input: a recorded run. Lazy, so that the run is only sampled when `inputs_to_make` requests it."""
    return RespoRecord.Input("record", optional=True, lazy=True, tooltip=tooltip)


def inputs_to_make(enabled: bool, linked: Mapping[str, Any]) -> list[str]:
    """Answer the host's `check_lazy_status`: request the record only when the node is enabled."""
    return [] if enabled is False else [name for name, value in linked.items() if name == "record" and value is None]
