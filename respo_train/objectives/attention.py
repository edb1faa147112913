"""Hooks for `SplitNetwork`: find where an attribute is in a picture from its cross-attention, and suppress it there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.pictures.attention import Tokens, attend, attention_weights, fitted, margin_score, normalised, word_places


def attribute_places(target: Tokens, neutral: Tokens) -> list[int]:
    """Return the places of `target`'s words that are not in `neutral`: "woman" of "a woman" beside "a person".

    A word that occurs in both is left out as many times as it occurs in `neutral`.
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
    """A hook that only reads: it collects each pixel's attention to the words at `places`, over heads and layers.

    As in DAAM (Tang et al., ACL 2023), but at a single timestep.
    """

    places: Sequence[int]
    maps: dict[int, Tensor] = field(default_factory=dict)  # by layer, `[B, 1, H, W]`

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, size: tuple[int, int]) -> Tensor:
        """See `network.AttentionHook`."""
        self.maps[layer] = attention_weights(q, k, heads)[:, :, list(self.places)].sum(2).unflatten(1, size)[:, None]
        return attend(q, k, v, heads)

    def heat(self, size: tuple[int, int]) -> Tensor:
        """Return the mean over layers, `[B, 1, *size]`, with each picture stretched to 0 … 1."""
        return normalised(torch.stack([fitted(each, size) for each in self.maps.values()]).mean(0))


@dataclass(frozen=True)
class Suppress:
    """A hook for a pass whose context is the neutral prompt's `length` places followed by the target prompt's.

    Only the neutral prompt is attended to. The output is set to 0 at pixels that attend more to the attribute's words
    than to the neutral prompt's words, where `margin_score` is above `tau` (mask chi). `neutral`, `attribute`: places
    of these words in the joined context. `layers`: the layers in which it acts. `watch`: called with each layer's mask,
    `[B, 1, H, W]`.
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
        """Return chi, bool `[B, P]`: True where the attribute dominates. Keys: the neutral prompt and the attribute."""
        keys = [*range(self.length), *self.attribute]
        weights = attention_weights(q, k[:, keys], heads)
        own = weights[:, :, list(self.neutral)].sum(2)
        return margin_score(own, weights[:, :, self.length :].sum(2)) > self.tau
