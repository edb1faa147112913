"""Which prompt a chunk of the U-Net's batch belongs to.

The host numbers chunks by their place in a call, 0 for the positive prompt. Others (SAG) call with the negative prompt
alone, which is then number 0. So each step's options are told which of the guider's lists every prompt is from, by the
identifiers that the host gives its prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .edits import Cond

_NAMES = "respo_conds"  # in transformer_options: the host's identifier of a prompt -> [Cond]
_LATENT = "respo_latent"  # in transformer_options: (height, width) of the whole latent


def name_conds(executor: Any, x: Tensor, timestep: Tensor, model_options: Any = None, seed: Any = None) -> Tensor:
    """Wrap the host's prediction of a step (WrappersMP.PREDICT_NOISE): the options' copy says which prompt is which."""
    options = dict(model_options or {})
    inner = dict(options.get("transformer_options", {}))
    inner[_NAMES] = names_of(getattr(executor.class_obj, "conds", None) or {})
    inner[_LATENT] = tuple(x.shape[-2:])
    options["transformer_options"] = inner
    denoised: Tensor = executor(x, timestep, options, seed)
    return denoised


def names_of(lists: Mapping[str, Any]) -> dict[Any, list[Cond]]:
    """Read a guider's lists of prompts, {"positive": [{"uuid": …}, …], …}.

    An identifier may be in two of them: where one side has a prompt for an area, the host gives the other side one for
    the same area, and the copy keeps the identifier.
    """
    named: dict[Any, list[Cond]] = {}
    for name, conds in lists.items():
        for index, cond in enumerate(conds or []):
            area = cond.get("area")
            plain = tuple(area) if area is not None and len(area) == 4 else None
            named.setdefault(cond.get("uuid"), []).append(Cond(name, index, plain))
    return named


def conds_of_chunks(transformer_options: Mapping[str, Any]) -> list[Cond]:
    """Return the prompt of each chunk of a batch.

    Where an identifier does not tell, or nobody has named them (a pack that calls the model past the host's guider),
    the host's numbers have to do.
    """
    numbers = transformer_options["cond_or_uncond"]
    named = transformer_options.get(_NAMES, {})
    identifiers = transformer_options.get("uuids") or [None] * len(numbers)
    return [_choose(named.get(key, []), number) for number, key in zip(numbers, identifiers, strict=True)]


def _choose(candidates: list[Cond], number: int) -> Cond:
    if len(candidates) == 1:
        return candidates[0]
    fitting = [cond for cond in candidates if cond.conditional == (number == 0)]
    return fitting[0] if fitting else Cond("positive" if number == 0 else "negative", 0)


def latent_size(transformer_options: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the size of the whole latent, None where nobody has told."""
    size: tuple[int, int] | None = transformer_options.get(_LATENT)
    return size
