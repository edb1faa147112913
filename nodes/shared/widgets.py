"""Widgets that several nodes share, and the shared definition of "off"."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from comfy_api.latest import io, ui

from ...respo_train.core.errors import RespoError
from .wire import RespoRecord


def schema(*, inputs: Sequence[io.Input], advanced: Collection[str] = (), **more: Any) -> io.Schema:
    """Return a node's schema. Ids and their order must never change: saved workflows store widget values by position.

    The inputs get names that people read, and those of the `advanced` ids are marked so. Hosts that know "advanced"
    show such a widget when it is linked, or together with the others that are advanced. The inputs of our oldest host
    take no argument of that name, but pass `extra_dict` on.
    """
    for part in inputs:
        if part.display_name is None and part.id.isidentifier():  # Safety's switches have files' names
            part.display_name = part.id.replace("_", " ")
        if part.id in advanced:
            part.extra_dict = {**part.extra_dict, "advanced": True}
    return io.Schema(category="Respo", inputs=list(inputs), **more)


def number(
    id_: str, default: float, tooltip: str, within: tuple[float, float, float] = (0.0, 1.0, 0.01), **more: Any
) -> io.Float.Input:
    """Widget: a number; `within`: the least, the largest, the step."""
    low, high, step = within
    return io.Float.Input(id_, default=default, min=low, max=high, step=step, tooltip=tooltip, **more)


def text(id_: str, tooltip: str, default: str = "", **more: Any) -> io.String.Input:
    """Widget: text, at first none."""
    return io.String.Input(id_, default=default, tooltip=tooltip, **more)


def choice(id_: str, options: Iterable[str], tooltip: str, **more: Any) -> io.Combo.Input:
    """Widget: one of `options`, at first the first one."""
    listed = list(options)
    return io.Combo.Input(id_, options=listed, default=listed[0], tooltip=tooltip, **more)


def strength() -> io.Float.Input:
    """Widget: the factor on the module's whole change of h."""
    return number(
        "strength",
        1.0,
        "How strongly the module acts. 1 is what it was trained for, 0 is off (the very same picture as "
        "without this node), below 0 pushes the other way. Above 2, pictures may fall apart.",
        within=(-5.0, 5.0, 0.05),
    )


def fidelity() -> io.Float.Input:
    """Widget: the factor on the semantic part, which is added along with the responsible part."""
    return number(
        "fidelity",
        1.0,
        "How hard to hold on to the rest of the picture: the job, the scene, the look. 1 is what the module "
        "was trained for. Lower it if the module does too little, raise it if the subject drifts away.",
        within=(0.0, 2.0, 0.05),
    )


def span() -> list[io.Float.Input]:
    """Widgets: the points of the sampling where the module starts and stops acting."""
    start = (
        "When to begin: 0 is the first step, 0.2 leaves the first fifth alone, which keeps more of the picture's "
        "layout."
    )
    end = (
        "When to stop: 1 is the last step, 0.8 leaves the last fifth alone, which keeps more of the fine details. "
        "Nothing happens unless it is larger than start percent."
    )
    return [number("start_percent", 0.0, start), number("end_percent", 1.0, end)]


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
    return text(
        "name",
        "The file to write, in models/respo; mine/gender makes a subfolder. Load Module lists it after you press R.",
        default="my_module",
    )


def off(model: Any, *more: Any) -> io.NodeOutput:
    """Return what a node that is off gives: the very same model, and `more`."""
    return io.NodeOutput(model, *more, ui=ui.PreviewText("Off: the model is passed on untouched."))


def valid(*checks: tuple[Any, ...]) -> bool | str:
    """Answer the host's `validate_inputs`, before anything runs: True, or the message of the first RespoError.

    `checks`: a function and what it is given, which may be any JSON. A linked input is None: it is not checked.
    """
    try:
        for check, *given in checks:
            if None not in given:
                check(*map(str, given))
    except RespoError as error:
        return str(error)
    return True


def is_off(enabled: bool, strength: float, start_percent: float, end_percent: float) -> bool:
    """Return whether nothing would be added at any step. An empty range is off, and so is one that is not a number."""
    return not enabled or strength == 0 or not start_percent < end_percent


def record(tooltip: str) -> io.Input:
    """Input: a recorded run. Lazy, so that the run is only sampled when `inputs_to_make` requests it."""
    return RespoRecord.Input("record", optional=True, lazy=True, tooltip=tooltip)


def inputs_to_make(enabled: bool, linked: Mapping[str, Any]) -> list[str]:
    """Answer the host's `check_lazy_status`: request the record only when the node is enabled."""
    return [] if enabled is False else [name for name, value in linked.items() if name == "record" and value is None]
