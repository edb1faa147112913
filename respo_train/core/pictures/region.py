"""Where the subject is in a picture: by the words that name it, and by what a module changed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RespoError
from .attention import Tokens

_LOW, _HIGH = 0.1, 0.9  # quantiles of a picture's shares that become 0 and 1: a few hot pixels must not hide the rest
# Of that stretch, where the mask rises from 0 to 1. It has to be generous: what is not let in, a module cannot change.
_OUTSIDE, _INSIDE = 0.15, 0.35
_SOFT = 0.1  # how far a change's size is from the threshold where the mask is neither 0 nor 1


def places_of(words: str, prompt: Tokens, tokens_of: Sequence[Tokens]) -> tuple[list[int], list[int]]:
    """Return the places of the chosen words in a prompt, and of all its other words.

    `prompt`: the prompt's tokens; `tokens_of`: those of each chosen word or phrase alone; `words`: for the message.
    Raises RespoError when none of them is in the prompt, or nothing else is.
    """
    all_places = [place for place, token in enumerate(prompt) if token is not None]
    tokens = [prompt[place] for place in all_places]
    chosen: set[int] = set()
    for phrase in ([t for t in own if t is not None] for own in tokens_of):
        for start in range(len(tokens) - len(phrase) + 1):
            if phrase and tokens[start : start + len(phrase)] == phrase:
                chosen |= set(all_places[start : start + len(phrase)])
    others = [place for place in all_places if place not in chosen]
    if not chosen or not others:
        found = "none of them is in the prompt" if not chosen else "they are the whole prompt"
        raise RespoError(f"expected words of the prompt beside other words, found {words[:80]!r}: {found}.")
    return sorted(chosen), others


def share_of_words(weights: Tensor, chosen: Sequence[int], others: Sequence[int]) -> Tensor:
    """Return how much of each pixel's attention to the prompt's words goes to the chosen ones: `[B, P]`, 0 … 1.

    `weights`: `[B, P, N]`, attention of P pixels to N places. The attention itself is no measure: most of it goes to
    the places before and after the words, wherever the subject is.
    """
    own, rest = (weights[:, :, list(places)].sum(2) for places in (chosen, others))
    return own / (own + rest).clamp_min(torch.finfo(weights.dtype).tiny)


def subject(shares: Tensor) -> Tensor:
    """Turn shares `[B, 1, H, W]` into a mask, 0 … 1: smoothed, stretched between each picture's own extremes, cut."""
    smooth = blurred(shares)
    low, high = torch.quantile(smooth.flatten(1), torch.tensor([_LOW, _HIGH], device=shares.device), dim=1)
    low, high = low[:, None, None, None], high[:, None, None, None]
    stretched = (smooth - low) / (high - low).clamp_min(torch.finfo(smooth.dtype).tiny)
    return ((stretched - _OUTSIDE) / (_INSIDE - _OUTSIDE)).clamp(0, 1)


def changed(after: Tensor, before: Tensor, threshold: float) -> Tensor:
    """Return a mask `[B, 1, H, W]`, 0 … 1, of where `after` is another picture than `before`; both `[B, C, H, W]`.

    A pixel counts when the change around it is larger than `threshold` (0 … 1) times the picture's largest.
    """
    size = blurred((after - before).float().square().mean(1, keepdim=True).sqrt())
    relative = size / size.amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(size.dtype).tiny)
    return ((relative - threshold) / _SOFT + 0.5).clamp(0, 1)


def blurred(x: Tensor) -> Tensor:
    """Return the mean of each pixel's 3 x 3 neighbours, `[B, 1, H, W]`."""
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
