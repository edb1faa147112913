"""What cross-attention says about where an attribute lives in a picture: pure functions, and hooks for `SplitUNet`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from .core.grid import resize

Tokens = Sequence[int | None]


def word_places(tokens: Tokens) -> list[int]:
    """Return the places of a prompt's words: neither begin nor end nor padding."""
    return [place for place, token in enumerate(tokens) if token is not None]


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


def split_heads(x: Tensor, heads: int) -> Tensor:
    """`[B, N, D]` -> `[B, heads, N, D / heads]`."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Return attention's output `[B, P, D]` for `q` `[B, P, D]` and `k`, `v` `[B, N, D]`, as the stock layer would."""
    out = F.scaled_dot_product_attention(split_heads(q, heads), split_heads(k, heads), split_heads(v, heads))
    return out.transpose(1, 2).flatten(2)


@torch.no_grad()
def attention_weights(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """Return how much each pixel looks at each place, mean over heads: `[B, P, N]`, float32, sums over N are 1."""
    q, k = (split_heads(x.float(), heads) for x in (q, k))
    with torch.autocast(q.device.type, enabled=False):  # which would multiply in bfloat16 all the same
        return (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(3).mean(1)


def margin_score(neutral: Tensor, attribute: Tensor) -> Tensor:
    """Return the normalised margin `(attribute - neutral) / (attribute + neutral)`, mapped from -1 … 1 to 0 … 1.

    Both: attention masses of any one shape; where both are 0 the score is 0.5.
    """
    total = attribute + neutral
    margin = (attribute - neutral) / total.clamp_min(torch.finfo(total.dtype).tiny)
    return (margin + 1) / 2


def normalised(heat: Tensor) -> Tensor:
    """Stretch each picture of `[B, 1, H, W]` to 0 … 1; a picture that is the same everywhere becomes 0."""
    low, high = heat.amin((1, 2, 3), keepdim=True), heat.amax((1, 2, 3), keepdim=True)
    return (heat - low) / (high - low).clamp_min(torch.finfo(heat.dtype).tiny)


def fitted(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize `[B, 1, H, W]` to `size` as grids are resized, see `core.grid.resize`."""
    return resize(x[:, 0], *size)[:, None]


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
