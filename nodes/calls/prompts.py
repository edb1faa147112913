"""Per-call context that wrappers of the host's model call (WrappersMP.APPLY_MODEL) pass to the patches inside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

_PROMPTS, _OPTIONS = 3, 5  # the places of c_crossattn and transformer_options among the arguments of apply_model
_ENCODED = "respo_encoded"  # in transformer_options: a call's encoded prompts `[rows, places, D]`


def with_options(executor: Callable, given: tuple, named: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
    """Continue the call, with `more` added to a copy of its transformer_options."""
    if "transformer_options" in named:
        return executor(*given, **{**named, "transformer_options": {**named["transformer_options"], **more}})
    if len(given) > _OPTIONS:
        given = (*given[:_OPTIONS], {**given[_OPTIONS], **more}, *given[_OPTIONS + 1 :])
    return executor(*given, **named)


def bring_prompts(executor: Callable, *given: Any, **named: Any) -> Any:
    """Wrap each call of the model: pass the encoded prompts to its patches."""
    encoded = named["c_crossattn"] if "c_crossattn" in named else given[_PROMPTS] if len(given) > _PROMPTS else None
    return with_options(executor, given, named, {_ENCODED: encoded})


def prompts_of(transformer_options: Mapping[str, Any], rows: slice) -> Tensor | None:
    """Return the encoded prompts of these rows of a call, `[b or 1, places, D]`; None when none were recorded."""
    encoded: Tensor | None = transformer_options.get(_ENCODED)
    if encoded is None:
        return None
    return encoded if len(encoded) == 1 else encoded[rows]
