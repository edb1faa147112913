"""Hooks for `SplitUNet`: where an attribute lives in a picture by its cross-attention, and how it is kept out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.pictures.attention import Tokens, attend, attention_weights, fitted, margin_score, normalised, word_places


def attribute_places(target: Tokens, neutral: Tokens) -> list[int]:
    """Return the places of `target`'s words that `neutral` has not: "woman" of "a woman" beside "a person".

    A word that occurs in both is left out as often as `neutral` has it.
    """
    known = Counter(neutral)
    places = []
    for place in word_places(target):
        token = target[place]
        if known[token] > 0:
            known[token] -= 1
        else:
            places.append(place)
    return places


@dataclass
class HeatMap:
    """A hook that only looks: it adds up each pixel's attention to the words at `places`, over heads and layers.

    As in DAAM (Tang et al., ACL 2023), at one timestep.
    """

    places: Sequence[int]
    maps: dict[int, Tensor] = field(default_factory=dict)  # by layer, `[B, 1, H, W]`

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, size: tuple[int, int]) -> Tensor:
        """See `network.AttentionHook`."""
        self.maps[layer] = attention_weights(q, k, heads)[:, :, list(self.places)].sum(2).unflatten(1, size)[:, None]
        return attend(q, k, v, heads)

    def heat(self, size: tuple[int, int]) -> Tensor:
        """Return the mean over layers, `[B, 1, *size]`, each picture stretched to 0 … 1."""
        return normalised(torch.stack([fitted(each, size) for each in self.maps.values()]).mean(0))


@dataclass(frozen=True)
class Suppress:
    """A hook for a pass whose context is the neutral prompt's `length` places followed by the target prompt's.

    Attention is to the neutral prompt alone; its output is 0 at pixels that look more at the attribute's words than at
    the neutral prompt's (both by their `places` in the joined context): mask chi, `margin_score` above `tau`.
    `layers`: those in which it acts. `watch` is told each layer's mask, `[B, 1, H, W]`.
    """

    length: int
    neutral: Sequence[int]
    attribute: Sequence[int]
    tau: float
    layers: range
    watch: Callable[[Tensor], None] | None = None

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, size: tuple[int, int]) -> Tensor:
        """See `network.AttentionHook`."""
        out = attend(q, k[:, : self.length], v[:, : self.length], heads)
        if layer not in self.layers:
            return out
        mask = self.mask(q, k, heads)
        if self.watch is not None:
            self.watch(mask.float().unflatten(1, size)[:, None])
        return out.masked_fill(mask[:, :, None], 0)

    def mask(self, q: Tensor, k: Tensor, heads: int) -> Tensor:
        """Return chi, `[B, P]`: True where the attribute dominates. Keys: neutral prompt and attribute."""
        keys = [*range(self.length), *self.attribute]
        weights = attention_weights(q, k[:, keys], heads)
        own = weights[:, :, list(self.neutral)].sum(2)
        return margin_score(own, weights[:, :, self.length :].sum(2)) > self.tau
