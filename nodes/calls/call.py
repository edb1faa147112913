"""One call of the model, as its patches need to know it: gathered by wrappers before the network runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ..recording.playback import recorded_calls
from ..recording.record import RecordedCall
from .rows import Chunk, Size, chunks_of

# The arguments of the host's apply_model that are read here, and their places.
_PLACES = {"x": 0, "c_crossattn": 3, "transformer_options": 5}
ENCODED = "respo_encoded"  # in transformer_options: a call's encoded prompts `[rows or 1, places, D]`


@dataclass(frozen=True)
class Call:
    """`rows`: how many the call has; `chunks`: whose they are; `device`: where the network computes.

    `sigmas`: the noise level of each picture, `[b]`; `prompts`: encoded prompts, `[rows or 1, places, D]`; None when
    unknown. `recorded`: recorded data for this call, keyed by the record's SHA-256.
    """

    rows: int
    chunks: tuple[Chunk, ...]
    device: torch.device
    sigmas: Tensor | None
    prompts: Tensor | None
    recorded: Mapping[str, RecordedCall]

    @classmethod
    def of(cls, rows: int, device: torch.device, options: Mapping[str, Any]) -> Call:
        """Read a call's transformer_options.

        Raises RespoError when the rows cannot be shared out among the call's prompts.
        """
        chunks, prompts = tuple(chunks_of(rows, options)), options.get(ENCODED)
        return cls(rows, chunks, device, options.get("sigmas"), prompts, recorded_calls(options))

    def between(self, high: float, low: float) -> Tensor:
        """Return which rows have high >= sigma > low, `[rows or 1]`; a comparison on the device, and no branch.

        All rows of a call are at one sigma, so that where the number of sigmas does not fit (tiles, windows), the
        first one does. Raises RespoError where the call does not tell its sigma.
        """
        if self.sigmas is None:
            raise RespoError(
                "This call of the model does not tell its sigma, so a start or end percent has no meaning here. "
                "Set them to 0 and 1, or bypass the node that calls the model past the host's sampler."
            )
        each = len(self.sigmas) * len(self.chunks) == self.rows
        within = (self.sigmas <= high) & (self.sigmas > low)
        return within.repeat(len(self.chunks)) if each else within[:1]


def size_of_h(network: Any, latents: Tensor) -> Size:
    """Return the size that h has for latents `[rows, C, H, W]`, unless a patch changes it on the way."""
    height, width = latents.shape[-2:]
    for _ in network.channel_mult[1:]:
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width


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
    return with_options(executor, given, named, {ENCODED: encoded})
