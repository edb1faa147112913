"""Find out which prompt each chunk of the U-Net's batch belongs to.

In `cond_or_uncond` the host numbers chunks by their list's place in the call, usually 0 for the positive prompts. But
some nodes (SAG) call the model with the negative prompts alone, which are then number 0. So wrappers record, in a run's
options, which of the guider's lists each number of a call stands for. They compare the lists themselves, and where
another node has copied a list, the identifiers that the host gives its prompts: all of a list, or else each alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

# Which side of guidance is changed: the conditional prediction alone, or the unconditional (negative) one as well.
Guidance = Literal["conditional", "both"]

LISTS = "respo_lists"  # in transformer_options of a step: the guider's lists of prompts, by name
_CALL = "respo_conds"  # in transformer_options of a call: its _Call
_UNLISTED = "unlisted negative"  # a prompt that another node adds to guide away from (Perp-Neg's)


@dataclass(frozen=True)
class Cond:
    """The prompt that a chunk of a batch belongs to.

    `name`: the guider's name for its list ("positive", "negative", "middle" …); `index`: the place in that list;
    `area`: (height, width, y, x) in latent pixels where the prompt applies, None for everywhere.
    """

    name: str
    index: int
    area: tuple[int, int, int, int] | None = None

    @property
    def conditional(self) -> bool:
        """Whether guidance moves towards this prompt rather than away from it."""
        return "negative" not in self.name


Named = Mapping[Any, Sequence[Cond]]  # the host's identifier of a prompt -> the prompts it may be
_Call = tuple[Named, ...]  # the prompts of each number of a call; no list or dictionary, which the host copies


def name_numbers(executor: Any, model: Any, conds: Sequence[Any], x: Tensor, timestep: Tensor, options: Any) -> Any:
    """Wrap the host's evaluation of prompt lists (WrappersMP.CALC_COND_BATCH): record which list each number is."""
    lists = options.get("transformer_options", {}).get(LISTS)
    if lists is not None:
        options = with_more(options, {_CALL: tuple(name_list(lists, cond or []) for cond in conds)})
        del options["transformer_options"][LISTS]
    return executor(model, conds, x, timestep, options)


def name_list(lists: Mapping[str, Any], conds: Sequence[Any]) -> dict[Any, list[Cond]]:
    """Map the identifier of each prompt in `conds` to the prompts of the run that it may be.

    `lists`: the guider's, {"positive": [{"uuid": …}, …], …}. An identifier alone can match two lists: where one side
    has a prompt for an area, the host gives the other side a copy for the same area, and the copy keeps the identifier.
    """
    alike = [cond.get("uuid") for cond in conds]
    same = {name: own for name, own in lists.items() if own is conds} or {
        name: own for name, own in lists.items() if [cond.get("uuid") for cond in own or []] == alike
    }
    named: dict[Any, list[Cond]] = {cond.get("uuid"): [] for cond in conds}
    for name, own in (same or lists).items():
        for index, cond in enumerate(own or []):
            if cond.get("uuid") in named:
                area = cond.get("area")
                plain = tuple(area) if area is not None and len(area) == 4 else None
                named[cond["uuid"]].append(Cond(name, index, plain))
    return {key: found or [Cond(_UNLISTED, 0)] for key, found in named.items()}


def conds_of_chunks(transformer_options: Mapping[str, Any]) -> list[Cond]:
    """Return the prompt of each chunk of a batch.

    Where the identifier is ambiguous, or where the wrappers did not run (a node that calls the model without the host's
    guider), fall back on the host's numbers.
    """
    numbers = transformer_options["cond_or_uncond"]
    call: _Call | None = transformer_options.get(_CALL)
    identifiers = transformer_options.get("uuids") or [None] * len(numbers)
    named = [call[number] if call is not None and number < len(call) else {} for number in numbers]
    return [_choose(own.get(key, []), n) for own, key, n in zip(named, identifiers, numbers, strict=True)]


def _choose(candidates: Sequence[Cond], number: int) -> Cond:
    if len(candidates) == 1:
        return candidates[0]
    fitting = [cond for cond in candidates if cond.conditional == (number == 0)]
    return fitting[0] if fitting else Cond("positive" if number == 0 else "negative", 0)


def with_more(model_options: Any, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a run's options with `more` in its transformer_options."""
    options = dict(model_options or {})
    options["transformer_options"] = {**options.get("transformer_options", {}), **more}
    return options
