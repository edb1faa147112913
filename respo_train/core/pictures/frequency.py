"""The low band of h."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..errors import RespoError


def low_band(h: Tensor, levels: int = 1) -> Tensor:
    """Return the Haar (db1) approximation of h, without its details, in h's shape and dtype. `h`: `[B, C, H, W]`.

    This is the mean of each 2 x 2 block, repeated; for two levels of each 4 x 4 block, and so on. At every level an odd
    last row or column is doubled first, like PyWavelets' symmetric padding. Method: Learning Where It Matters (TMLR
    2026). Raises RespoError for levels below 1.
    """
    return spread(block_means(h), h.shape[-2], h.shape[-1], levels)


def block_means(h: Tensor) -> Tensor:
    """Return the mean of each 2 x 2 block of h, `[B, C, ceil(H / 2), ceil(W / 2)]`: all that `low_band` uses of h."""
    height, width = h.shape[-2:]
    even = height % 2 == width % 2 == 0
    return F.avg_pool2d(h if even else F.pad(h, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def spread(means: Tensor, height: int, width: int, levels: int = 1) -> Tensor:
    """Return the low band of an h of size `height` x `width`, from its block means.

    Raises RespoError for levels below 1, and for means of another size.
    """
    if levels < 1:
        raise RespoError(f"expected at least one level, found {levels}")
    if means.shape[-2:] != (-(-height // 2), -(-width // 2)):
        raise RespoError(f"expected the block means of {height} x {width} values, found {list(means.shape[-2:])}")
    if levels > 1:
        means = low_band(means, levels - 1)
    return means.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :height, :width]
