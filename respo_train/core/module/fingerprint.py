"""Distinguish checkpoints of one architecture, whatever precision they were loaded in."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

POINTS = 64
# Rounding to fp16 or bf16 leaves a cosine above .99999; the fine-tunes people share stay well below .9999. (fp8 falls
# below it as well: a checkpoint rounded that hard is reported as another one.)
_SAME = 0.9999


def fingerprint(weight: Tensor) -> tuple[float, ...]:
    """Return 64 evenly spaced values of `middle_block.0.out_layers.3.weight` (all values if it has fewer).

    That is the last convolution of the middle block's first residual block, which every U-Net with a middle block has.
    """
    flat = weight.detach().reshape(-1)
    points = min(POINTS, flat.numel())
    indices = [i * (flat.numel() - 1) // max(points - 1, 1) for i in range(points)]
    return tuple(flat[indices].float().cpu().tolist())


def same_checkpoint(a: Sequence[float], b: Sequence[float]) -> bool:
    """Return whether two fingerprints differ only by rounding (cosine > .9999)."""
    if len(a) != len(b) or not a:
        return False
    norms = math.hypot(*a) * math.hypot(*b)
    return norms > 0 and sum(x * y for x, y in zip(a, b, strict=True)) / norms > _SAME
