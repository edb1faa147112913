"""Where the subject is in a picture: from the words that name it, or from what a module changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RespoError
from ..module.grid import resize_pictures
from .attention import Tokens, attention_weights, split_heads

# The quantiles of a picture's shares that map to 0 and 1, so that a few extreme pixels do not dominate.
_LOW, _HIGH = 0.1, 0.9
# The part of that range where the mask rises from 0 to 1. It is generous: outside it a module has no effect.
_OUTSIDE, _INSIDE = 0.15, 0.35
_MARKED = 256  # columns of `word_marks`: more than a head of the models that we know
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


def word_marks(chosen: Sequence[int], others: Sequence[int], places: int) -> Tensor:
    """Return what weighs the `places` of a prompt, `[places, _MARKED]`: column 0 chosen words, column 1 the others.

    The columns behind them are empty: the fused kernels of attention want as many as a head has numbers.
    """
    marks = torch.zeros(places, _MARKED)
    marks[list(chosen), 0] = 1
    marks[list(others), 1] = 1
    return marks


def attention_to_words(q: Tensor, k: Tensor, marks: Tensor, heads: int) -> Tensor:
    """Return the attention of each pixel to the chosen words and to the others, `[B, P, 2]`, float32.

    `q` `[B, P, D]` and `k` `[B, N, D]` are those of a layer; `marks`: see `word_marks`. Averaged over the heads.
    """
    if not fuses_exactly(q.device):
        return attention_weights(q, k, heads) @ marks[:, :2]
    q, k = (split_heads(x.float(), heads) for x in (q, k))
    width = q.shape[3]
    marks = marks[:, :width] if width <= _MARKED else F.pad(marks, (0, width - _MARKED))
    values = marks.expand(*k.shape[:2], -1, -1)
    return F.scaled_dot_product_attention(q, k, values)[..., :2].mean(1)


def fuses_exactly(device: torch.device) -> bool:
    """Whether a device's fused attention is exact. A processor's exponential is good to 20 units in the last place."""
    return device.type != "cpu"


def shares_at(layers: Sequence[tuple[Tensor, tuple[int, int]]], size: tuple[int, int]) -> Tensor:
    """Return each pixel's share of the attention to words that goes to the chosen ones, `[B, 1, *size]`, 0 … 1.

    `layers`: the attention of each layer (`attention_to_words`), and its size; their shares are averaged. The plain
    attention would not do: most of it goes to the places before and after the words, wherever the subject is.
    """
    shares = share_of_words(torch.cat([attention for attention, _ in layers], dim=1))
    found, start = [], 0
    for (height, width), alike in groupby(layers, key=lambda layer: layer[1]):
        count = len(list(alike))
        own = shares[:, start : start + count * height * width].unflatten(1, (count, height, width))
        found.append(resize_pictures(own, *size))
        start += count * height * width
    return torch.cat(found, dim=1).mean(1, keepdim=True)


def share_of_words(attention: Tensor) -> Tensor:
    """Return the share of the attention to all words that goes to the chosen ones: `[B, P, 2]` -> `[B, P]`, 0 … 1."""
    own, others = attention.unbind(2)
    return own / (own + others).clamp_min(torch.finfo(own.dtype).tiny)


def subject(shares: Tensor) -> Tensor:
    """Convert shares `[B, 1, H, W]` to a mask in 0 … 1: blur, stretch between each picture's extremes, cut off."""
    smooth = blurred(shares)
    ordered = smooth.flatten(1).sort(dim=1).values
    low, high = (quantile_of(ordered, q)[:, None, None, None] for q in (_LOW, _HIGH))
    stretched = (smooth - low) / (high - low).clamp_min(torch.finfo(smooth.dtype).tiny)
    return ((stretched - _OUTSIDE) / (_INSIDE - _OUTSIDE)).clamp(0, 1)


def quantile_of(ordered: Tensor, q: float) -> Tensor:
    """Return the quantile `q` of each sorted row of `[B, n]`, `[B]`: `torch.quantile`, which cannot be compiled."""
    rank = _single(_single(q) * (ordered.shape[1] - 1))
    below = int(rank)
    above = min(below + 1, ordered.shape[1] - 1)
    return torch.lerp(ordered[:, below], ordered[:, above], rank - below)


def _single(x: float) -> float:
    """Round to single precision, as torch.quantile does with ranks: else pictures would change in their last bits."""
    mantissa, exponent = math.frexp(x)
    return math.ldexp(round(math.ldexp(mantissa, 24)), exponent - 24)


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
