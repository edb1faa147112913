"""Where an image attends to words of the prompt: pure functions on cross-attention, for training and the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RespoError
from ..module.grid import resize

Tokens = Sequence[int | None]


def word_tokens(clip: Any, prompt: str) -> tuple[int | None, ...]:
    """Return the token id at each place of the encoded prompt; None for begin, end and padding.

    Tokens that an empty prompt consists of are not words. A textual inversion has no token id: it gets -1.
    """
    # SDXL's two text encoders have the same words at the same places.
    empty, full = (next(iter(clip.tokenize(text).values())) for text in ("", prompt))
    special = {token for chunk in empty for token, *_ in chunk}
    found = [token if isinstance(token, int) else -1 for chunk in full for token, *_ in chunk]
    return tuple(None if token in special else token for token in found)


def word_places(tokens: Tokens) -> list[int]:
    """Return the places of a prompt's words, without begin, end and padding."""
    return [place for place, token in enumerate(tokens) if token is not None]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Reshape `[B, N, D]` to `[B, heads, N, D / heads]`."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Return the attention output `[B, P, D]` for `q` `[B, P, D]` and `k`, `v` `[B, N, D]`, like the stock layer."""
    out = F.scaled_dot_product_attention(split_heads(q, heads), split_heads(k, heads), split_heads(v, heads))
    return out.transpose(1, 2).flatten(2)


@torch.no_grad()
def attention_weights(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """Return each pixel's attention to each place, averaged over heads: float32 `[B, P, N]`; the sums over N are 1."""
    q, k = (split_heads(x.float(), heads) for x in (q, k))
    with torch.autocast(q.device.type, enabled=False):  # autocast would still multiply in bfloat16
        return (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(3).mean(1)


def margin_score(neutral: Tensor, attribute: Tensor) -> Tensor:
    """Return the normalised margin `(attribute - neutral) / (attribute + neutral)`, mapped from -1 … 1 to 0 … 1.

    Both arguments are attention masses of equal shape; where both are 0 the score is 0.5.
    """
    total = attribute + neutral
    margin = (attribute - neutral) / total.clamp_min(torch.finfo(total.dtype).tiny)
    return (margin + 1) / 2


def normalised(heat: Tensor) -> Tensor:
    """Stretch each picture of `[B, 1, H, W]` to 0 … 1; a constant picture becomes 0."""
    low, high = heat.amin((1, 2, 3), keepdim=True), heat.amax((1, 2, 3), keepdim=True)
    return (heat - low) / (high - low).clamp_min(torch.finfo(heat.dtype).tiny)


def fitted(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize `[B, 1, H, W]` to `size`, as grids are resized (`core.module.grid.resize`)."""
    return resize(x[:, 0], *size)[:, None]


def layer_size(pixels: int, height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) of a layer with `pixels` pixels: the latent's, halved (and rounded up) until it fits.

    Raises RespoError when no halving fits.
    """
    size = height, width
    while size[0] * size[1] > pixels:
        size = (size[0] + 1) // 2, (size[1] + 1) // 2
    if size[0] * size[1] != pixels:
        raise RespoError(
            f"expected attention over a latent of {height} x {width} or a halving of it, found {pixels} pixels; this "
            "U-Net has another structure: use an objective without attention (respodiff, sdisc)"
        )
    return size
