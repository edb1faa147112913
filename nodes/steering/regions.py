"""Limit modules to a part of the picture: a mask, or the places that attend to chosen words of the prompt.

The attention is read in the cross-attention layers before the bottleneck. So each step's own attention decides where
modules act, from the first step on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...respo_train.core.pictures.attention import layer_size
from ...respo_train.core.pictures.region import attention_to_words, shares_at, subject, word_marks
from ..calls.call import argument, with_options
from ..calls.rows import Size
from .edits import Area

_SHARES = "respo_shares"  # in transformer_options of a call: {Words: [what each layer so far gives to them]}
_MARKS = "respo_marks"  # in transformer_options of a call: {Words: their marks on its device}
_MARKS_KEPT = 16  # lengths of prompts, and devices
_NETWORK = "respo_network"  # in transformer_options of a call: the network that runs it


@dataclass(frozen=True)
class Words:
    """Places in the encoded prompt: those of the words that name the subject, and those of all other words."""

    chosen: tuple[int, ...]
    others: tuple[int, ...]


Limit = Area | Words  # of where modules may act: inside of it, or where the image attends to them


def subject_in(transformer_options: Mapping[str, Any], words: Words, size: Size) -> Tensor | None:
    """Return where each row of a call attends to `words`, `[rows, 1, *size]`; None when no layer was read."""
    layers = transformer_options.get(_SHARES, {}).get(words)
    return subject(shares_at(layers, size)) if layers else None


def fresh_word_attention(executor: Any, *given: Any, **named: Any) -> Any:
    """Wrap each call of the model (WrappersMP.APPLY_MODEL): start with no attention read.

    The network is that of the call: the host may sample with another copy than the one that was patched.
    """
    more = {_SHARES: {}, _NETWORK: executor.class_obj.diffusion_model}
    return with_options(executor, given, named, more)


def mark_words(words: Words) -> Callable:
    """Build a wrapper of each call of the model (WrappersMP.APPLY_MODEL): bring the marks of `words` to its device."""

    @lru_cache(maxsize=_MARKS_KEPT)
    def marks(places: int, device: torch.device) -> Tensor:
        return word_marks(words.chosen, words.others, places).to(device)

    def bring(executor: Any, *given: Any, **named: Any) -> Any:
        encoded = argument(given, named, "c_crossattn")
        if encoded is None or max(words.chosen + words.others) >= encoded.shape[1]:
            return executor(*given, **named)
        before = (argument(given, named, "transformer_options") or {}).get(_MARKS, {})
        own = marks(encoded.shape[1], argument(given, named, "x").device)
        return with_options(executor, given, named, {_MARKS: {**before, words: own}})

    return bring


def listening(words: Words) -> Callable:
    """Build the host's `fn(n, context, value, options)` that reads the attention to `words` and changes nothing."""

    def listen(n: Tensor, context: Tensor, value: Any, options: Mapping[str, Any]) -> tuple[Tensor, Tensor, Any]:
        heard, marks = options.get(_SHARES), options.get(_MARKS, {}).get(words)
        layer = None if heard is None or marks is None else _cross_attention(options[_NETWORK], options)
        if heard is None or marks is None or layer is None or len(marks) != context.shape[1]:
            return n, context, value
        attention = attention_to_words(layer.to_q(n), layer.to_k(context), marks, options["n_heads"])
        heard.setdefault(words, []).append((attention, _size(options, n.shape[1])))
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
