"""Per-call context that wrappers of the host's model call (WrappersMP.APPLY_MODEL) pass to the patches inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

# The arguments of the host's apply_model that are read here, and their places.
_PLACES = {"x": 0, "c_crossattn": 3, "transformer_options": 5}
_ENCODED = "respo_encoded"  # in transformer_options: a call's encoded prompts `[rows, places, D]`


def with_options(executor: Callable, given: tuple, named: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
    """Continue the call, with `more` added to a copy of its transformer_options."""
    if "transformer_options" in named:
        return executor(*given, **{**named, "transformer_options": {**named["transformer_options"], **more}})
    place = _PLACES["transformer_options"]
    if len(given) > place:
        given = (*given[:place], {**given[place], **more}, *given[place + 1 :])
    return executor(*given, **named)


def argument(given: tuple, named: Mapping[str, Any], name: str) -> Any:
    """Return an argument of a call of the host's apply_model, None where it is missing."""
    place = _PLACES[name]
    return named[name] if name in named else given[place] if len(given) > place else None


def bring_prompts(executor: Callable, *given: Any, **named: Any) -> Any:
    """Wrap each call of the model: pass the encoded prompts to its patches.

    The host keeps prompts on the CPU and moves them inside of the call. They are moved here in its place, once.
    """
    encoded, place = argument(given, named, "c_crossattn"), _PLACES["c_crossattn"]
    if encoded is not None:
        encoded = encoded.to(argument(given, named, "x").device)
        if "c_crossattn" in named:
            named["c_crossattn"] = encoded
        else:
            given = (*given[:place], encoded, *given[place + 1 :])
    return with_options(executor, given, named, {_ENCODED: encoded})


def prompts_of(transformer_options: Mapping[str, Any], rows: slice) -> Tensor | None:
    """Return the encoded prompts of these rows of a call, `[b or 1, places, D]`; None when none were recorded."""
    encoded: Tensor | None = transformer_options.get(_ENCODED)
    if encoded is None:
        return None
    return encoded if len(encoded) == 1 else encoded[rows]
