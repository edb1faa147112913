"""Where the subject is in a picture: from the words that name it, or from what a module changed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RespoError
from .attention import Tokens

_LOW, _HIGH = (
    0.1,
    0.9,
)  # quantiles of a picture's shares that map to 0 and 1, so that a few extreme pixels do not dominate
# The part of that range where the mask rises from 0 to 1. It is generous: outside it a module has no effect.
_OUTSIDE, _INSIDE = 0.15, 0.35
_SOFT = 0.1  # distance from the threshold within which the mask is between 0 and 1


def places_of(words: str, prompt: Tokens, tokens_of: Sequence[Tokens]) -> tuple[list[int], list[int]]:
    """Return the places of the chosen words in a prompt, and those of all its other words.

    `prompt`: the prompt's tokens; `tokens_of`: those of each chosen word or phrase; `words`: for the message. Raises
    RespoError when none of the words is in the prompt, or when they are the whole prompt.
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
        raise RespoError(f"expected some, not all, of the prompt's words, found {words[:80]!r}: {found}.")
    return sorted(chosen), others


def share_of_words(weights: Tensor, chosen: Sequence[int], others: Sequence[int]) -> Tensor:
    """Return the share of each pixel's attention to the prompt's words that goes to the chosen ones: `[B, P]`, 0 … 1.

    `weights`: `[B, P, N]`, the attention of P pixels to N places. The plain attention would not do: most of it goes to
    the places before and after the words, wherever the subject is.
    """
    own, rest = (weights[:, :, list(places)].sum(2) for places in (chosen, others))
    return own / (own + rest).clamp_min(torch.finfo(weights.dtype).tiny)


def subject(shares: Tensor) -> Tensor:
    """Convert shares `[B, 1, H, W]` to a mask in 0 … 1: blur, stretch between each picture's extremes, cut off."""
    smooth = blurred(shares)
    low, high = torch.quantile(smooth.flatten(1), torch.tensor([_LOW, _HIGH], device=shares.device), dim=1)
    low, high = low[:, None, None, None], high[:, None, None, None]
    stretched = (smooth - low) / (high - low).clamp_min(torch.finfo(smooth.dtype).tiny)
    return ((stretched - _OUTSIDE) / (_INSIDE - _OUTSIDE)).clamp(0, 1)


def changed(after: Tensor, before: Tensor, threshold: float) -> Tensor:
    """Return a mask `[B, 1, H, W]` in 0 … 1 of where `after` differs from `before`; both are `[B, C, H, W]`.

    A pixel counts when the change around it exceeds `threshold` (0 … 1) times the picture's largest change.
    """
    size = blurred((after - before).float().square().mean(1, keepdim=True).sqrt())
    relative = size / size.amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(size.dtype).tiny)
    return ((relative - threshold) / _SOFT + 0.5).clamp(0, 1)


def blurred(x: Tensor) -> Tensor:
    """Return the mean over each pixel's 3 x 3 neighbourhood, `[B, 1, H, W]`."""
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
