"""Limit modules to a part of the picture: a mask, or the places that attend to chosen words of the prompt.

The attention is read in the cross-attention layers before the bottleneck. So each step's own attention decides where
modules act, from the first step on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from ...respo_train.core.pictures.attention import attention_weights, fitted, layer_size
from ...respo_train.core.pictures.region import share_of_words, subject
from ..calls.prompts import with_options
from ..calls.rows import Size
from .edits import Area, Moment

_SHARES = "respo_shares"  # in transformer_options of a call: {Words: [share of attention `[n * b, 1, H, W]` per layer]}
_NETWORK = "respo_network"  # in transformer_options of a call: the network that runs it


@dataclass(frozen=True)
class Words:
    """Places in the encoded prompt: those of the words that name the subject, and those of all other words."""

    chosen: tuple[int, ...]
    others: tuple[int, ...]


@dataclass(frozen=True)
class WordAttention:
    """The attention that the current call has read so far, for the images in `rows` of its batch."""

    heard: Mapping[Words, Sequence[Tensor]]
    rows: slice

    @classmethod
    def of(cls, transformer_options: Mapping[str, Any], rows: slice) -> WordAttention:
        """Read a call's options. It is empty when no patch reads the attention."""
        return cls(transformer_options.get(_SHARES) or {}, rows)

    def subject(self, words: Words, size: Size) -> Tensor | None:
        """Return where the image attends to `words`, `[b, 1, *size]`; None when no layer has been read."""
        layers = self.heard.get(words)
        return subject(torch.stack([fitted(layer[self.rows], size) for layer in layers]).mean(0)) if layers else None


@dataclass(frozen=True)
class Region:
    """Where modules may act: inside `area` and where the image attends to `words`; None means no limit."""

    area: Area | None
    words: Words | None

    def weight(self, h: Tensor, moment: Moment, attention: WordAttention) -> Tensor | None:
        """Return the factor on one chunk's changes of h, `[b or 1, 1, H, W]`; None when there is no limit."""
        size = h.shape[2], h.shape[3]
        area = None if self.area is None else self.area.at(size, moment).to(h.device)
        words = None if self.words is None else attention.subject(self.words, size)
        return product([area, words])


def product(weights: Sequence[Tensor | None]) -> Tensor | None:
    """Multiply masks `[b or 1, 1, H, W]`; None is no limit."""
    limits = [weight for weight in weights if weight is not None]
    return reduce(torch.mul, limits) if limits else None


def fresh_word_attention(executor: Any, *given: Any, **named: Any) -> Any:
    """Wrap each call of the model (WrappersMP.APPLY_MODEL): start with no attention read.

    The network is that of the call: the host may sample with another copy than the one that was patched.
    """
    more = {_SHARES: {}, _NETWORK: executor.class_obj.diffusion_model}
    return with_options(executor, given, named, more)


def listening(words: Words) -> Callable:
    """Build the host's `fn(n, context, value, options)` that reads the attention to `words` and changes nothing."""

    def listen(n: Tensor, context: Tensor, value: Any, options: Mapping[str, Any]) -> tuple[Tensor, Tensor, Any]:
        heard = options.get(_SHARES)
        layer = None if heard is None else _cross_attention(options[_NETWORK], options)
        if heard is None or layer is None or max(words.chosen + words.others) >= context.shape[1]:
            return n, context, value
        weights = attention_weights(layer.to_q(n), layer.to_k(context), options["n_heads"])
        shares = share_of_words(weights, words.chosen, words.others)
        heard.setdefault(words, []).append(shares.unflatten(1, _size(options, n.shape[1]))[:, None])
        return n, context, value

    return listen


def _cross_attention(network: Any, options: Mapping[str, Any]) -> Any:
    """Return the cross-attention layer that is about to run; None after the bottleneck."""
    side, number = options["block"]
    if side not in ("input", "middle"):
        return None
    block = network.input_blocks[number] if side == "input" else network.middle_block
    transformer = next(layer for layer in block if hasattr(layer, "transformer_blocks"))
    return transformer.transformer_blocks[options["block_index"]].attn2


def _size(options: Mapping[str, Any], pixels: int) -> Size:
    shape = options.get("activations_shape")
    if shape is not None and shape[-2] * shape[-1] == pixels:
        return shape[-2], shape[-1]
    return layer_size(pixels, *options["original_shape"][-2:])
