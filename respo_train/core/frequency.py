"""The low band of h."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .errors import RespoError


def low_band(h: Tensor, levels: int = 1) -> Tensor:
    """Return h's Haar (db1) approximation, details removed, in h's shape and dtype. `h`: `[B, C, H, W]`.

    That is the mean of each 2 x 2 block, repeated; of 4 x 4 blocks for two levels, and so on. An odd last row or column
    is doubled first, as PyWavelets' symmetric padding does. The method is Learning Where It Matters' (TMLR 2026).
    Raises RespoError for levels below 1.
    """
    if levels < 1:
        raise RespoError(f"expected at least one level, found {levels}")
    height, width = h.shape[-2:]
    padded = F.pad(h, (0, width % 2, 0, height % 2), mode="replicate")
    low = F.avg_pool2d(padded, 2)
    if levels > 1:
        low = low_band(low, levels - 1)
    return low.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :height, :width]
