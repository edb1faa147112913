"""The one place that chooses how a machine computes: bfloat16 where it is fast at it, float32 elsewhere.

The difference is large: with bfloat16 arithmetic in the processor a product is about 3 times as fast as in float32,
without it 50 to 100 times as slow.
"""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]
CPU = torch.device("cpu")


def choose_dtype(precision: Precision = "auto", device: torch.device = CPU) -> torch.dtype:
    """Return the dtype to compute in. "auto" means bfloat16 where the machine is fast at it, else float32."""
    if precision != "auto":
        return torch.float32 if precision == "float32" else torch.bfloat16
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # Without bf16 arithmetic in the processor, emulation is slower than float32.
        fast = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def autocast(precision: Precision = "auto", device: torch.device = CPU) -> torch.autocast:
    """Return the context in which float32 weights compute in the chosen dtype; in float32 it changes nothing."""
    dtype = choose_dtype(precision, device)
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)
