"""Which prompt a chunk of the U-Net's batch belongs to.

The host numbers chunks by their place in a call, 0 for the positive prompt. Others (SAG) call with the negative prompt
alone, which is then number 0. So a run's options are told which of the guider's lists each number of a call is, by the
list itself, or by the identifiers that the host gives its prompts where somebody has copied the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

Guidance = Literal["conditional", "both"]

_LISTS = "respo_lists"  # in transformer_options of a step: the guider's lists of prompts, by name
_CALL = "respo_conds"  # in transformer_options of a call: its _Call
_LATENT = "respo_latent"  # in transformer_options: (height, width) of the whole latent
_NOBODYS = "unlisted negative"  # a prompt that a pack brings along to be led away from (Perp-Neg's empty one)


@dataclass(frozen=True)
class Cond:
    """Which of the run's prompts a chunk of a batch belongs to.

    `name`: what the guider calls its list ("positive", "negative", "middle" …), `index`: place in that list; `area`:
    (height, width, y, x) in latent pixels where the prompt is heard, None for everywhere.
    """

    name: str
    index: int
    area: tuple[int, int, int, int] | None = None

    @property
    def conditional(self) -> bool:
        """Whether it asks for something, rather than to be led away from."""
        return "negative" not in self.name


Named = Mapping[Any, Sequence[Cond]]  # the host's identifier of a prompt -> what it may be


@dataclass(frozen=True)
class _Call:
    """The prompts of each number of a call. No dictionary: the host would merge and copy it on the way."""

    numbers: tuple[Named, ...]


def name_conds(executor: Any, x: Tensor, timestep: Tensor, model_options: Any = None, seed: Any = None) -> Tensor:
    """Wrap the host's prediction of a step (WrappersMP.PREDICT_NOISE): bring the guider's lists along."""
    lists = getattr(executor.class_obj, "conds", None) or {}
    named = _with(model_options, {_LISTS: dict(lists), _LATENT: tuple(x.shape[-2:])})
    denoised: Tensor = executor(x, timestep, named, seed)
    return denoised


def name_numbers(executor: Any, model: Any, conds: Sequence[Any], x: Tensor, timestep: Tensor, options: Any) -> Any:
    """Wrap the host's call for lists of prompts (WrappersMP.CALC_COND_BATCH): say which list each number is."""
    lists = options.get("transformer_options", {}).get(_LISTS)
    if lists is not None:
        options = _with(options, {_CALL: _Call(tuple(name_list(lists, cond or []) for cond in conds))})
        del options["transformer_options"][_LISTS]
    return executor(model, conds, x, timestep, options)


def name_list(lists: Mapping[str, Any], conds: Sequence[Any]) -> dict[Any, list[Cond]]:
    """Name the prompts of one list by the guider's lists, {"positive": [{"uuid": …}, …], …}.

    By identifiers a prompt may be in two of them: where one side has a prompt for an area, the host gives the other
    side one for the same area, and the copy keeps the identifier.
    """
    same = {name: own for name, own in lists.items() if own is conds}
    named: dict[Any, list[Cond]] = {cond.get("uuid"): [] for cond in conds}
    for name, own in (same or lists).items():
        for index, cond in enumerate(own or []):
            if cond.get("uuid") in named:
                area = cond.get("area")
                plain = tuple(area) if area is not None and len(area) == 4 else None
                named[cond["uuid"]].append(Cond(name, index, plain))
    return {key: found or [Cond(_NOBODYS, 0)] for key, found in named.items()}


def conds_of_chunks(transformer_options: Mapping[str, Any]) -> list[Cond]:
    """Return the prompt of each chunk of a batch.

    Where an identifier does not tell, or nobody has named them (a pack that calls the model past the host's guider),
    the host's numbers have to do.
    """
    numbers = transformer_options["cond_or_uncond"]
    call: _Call | None = transformer_options.get(_CALL)
    identifiers = transformer_options.get("uuids") or [None] * len(numbers)
    named = [call.numbers[number] if call is not None and number < len(call.numbers) else {} for number in numbers]
    return [_choose(own.get(key, []), n) for own, key, n in zip(named, identifiers, numbers, strict=True)]


def _choose(candidates: Sequence[Cond], number: int) -> Cond:
    if len(candidates) == 1:
        return candidates[0]
    fitting = [cond for cond in candidates if cond.conditional == (number == 0)]
    return fitting[0] if fitting else Cond("positive" if number == 0 else "negative", 0)


def _with(model_options: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a run's options that says more in transformer_options."""
    options = dict(model_options or {})
    options["transformer_options"] = {**options.get("transformer_options", {}), **more}
    return options


def latent_size(transformer_options: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the size of the whole latent, None where nobody has told."""
    size: tuple[int, int] | None = transformer_options.get(_LATENT)
    return size
