"""Distinguish checkpoints of one architecture, whatever precision they were loaded in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .architecture import tokens_of

POINTS = 64
_OF_U_NETS = "middle_block.0.out_layers.3.weight"
# The coarsest formats that checkpoints are loaded in, the finer first. All others round at most as much as bfloat16.
_EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)


def weight_name(network: Any, block: int = 0) -> str:
    """Return the name of the weight that fingerprints are made of.

    In a U-Net it is the last convolution of the middle block's first residual block, which every U-Net with a middle
    block has; in a transformer a weight of block number `block`, counted from 1.
    """
    tokens = tokens_of(network)
    if tokens is None:
        return _OF_U_NETS
    blocks, index = tokens.place(network, block)
    return f"{blocks.name}.{index}.{blocks.weight}"


def fingerprint(weight: Tensor) -> tuple[float, ...]:
    """Return 64 evenly spaced values of a weight, see `weight_name` (all values if it has fewer)."""
    flat = weight.detach().reshape(-1)
    points = min(POINTS, flat.numel())
    indices = [i * (flat.numel() - 1) // max(points - 1, 1) for i in range(points)]
    return tuple(flat[indices].float().cpu().tolist())


def same_checkpoint(a: Sequence[float], b: Sequence[float]) -> bool:
    """Return whether two fingerprints differ only by rounding, down to fp8: no value by more than both were rounded.

    Of fine-tunes, some value always differs by more, unless nearly nothing was changed.
    """
    if len(a) != len(b) or not any(a) or not any(b):
        return False
    one, other = (torch.tensor(values, dtype=torch.float64) for values in (a, b))
    return bool(((one - other).abs() <= _rounding(one) + _rounding(other)).all())


def _rounding(values: Tensor) -> Tensor:
    """Return the most by which each value may have been rounded: half a step of its format, which the values show."""
    formats = (kind for kind in _EIGHT_BITS if torch.equal(values.to(kind).to(values.dtype), values))
    finest = torch.finfo(next(formats, torch.bfloat16))
    power_of_2 = torch.exp2(values.abs().log2().floor())
    # The step does not get smaller below the smallest normal number.
    return finest.eps / 2 * power_of_2.clamp_min(finest.smallest_normal)
