"""Do numbers look as PyTorch starts them, before any training? Released files are full of such places.

The released matrices have room for ten or a hundred concepts, and the training of one touches its own place alone.
What stands in the others is noise; added to h it would break pictures without a word.

- A column of `nn.Linear` starts uniform in ±1/sqrt(number of columns). The test is whether a value lies outside: of
  81,920 some lie so close to the border that even a training that moves each by 1e-4 takes some over it. Measured on
  the released SDisc file, trained columns have norms of 465 to 1482, untrained ones sqrt(81920 / 30) = 52.
- A row of an embedding starts standard normal. AdamW's weight decay shrinks untouched rows too (1e-2 × 1e-2 over 10,000
  steps: to 0.37), all alike; so rows are compared with those that no concept names.

The tolerances are five standard deviations of what a start of that length has: about one mistake in a million.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SIGMAS = 5.0
_LARGEST = 6.0  # of a normal start's numbers, in standard deviations: exceeded once in 10^9
_FEW = 8  # rows that tell what an untouched row has become


def is_uniform_start(values: Tensor, columns: int) -> bool:
    """Say whether `values` `[n]` look like a column of a fresh `nn.Linear(columns, n)`."""
    bound, found = columns**-0.5, values.double()
    # Rounded to half precision, a number may end up above the border by its last digit.
    if float(found.abs().max()) > bound * (1 + torch.finfo(values.dtype).eps):
        return False
    return _has(found, bound / math.sqrt(3), excess=0.2)


def is_normal_start(values: Tensor, spread: float) -> bool:
    """Say whether `values` `[n]` look like a normal start of that standard deviation."""
    found = values.double()
    return float(found.abs().max()) <= _LARGEST * spread and _has(found, spread, excess=0.5)


def spread_of_untouched(rows: Tensor) -> float:
    """Return the standard deviation of rows `[m, n]` that nobody trained: 1 where they are too few to tell, or larger.

    Weight decay only ever shrinks; larger rows have been trained, whatever a list of concepts leaves out.
    """
    spreads = rows.double().std(1, correction=0)
    found = float(spreads.median()) if len(spreads) >= _FEW else 1.0
    return found if 0 < found <= 1 else 1.0


def _has(found: Tensor, spread: float, excess: float) -> bool:
    """`excess`: (kurtosis - 1) / 4, by which the variance of a sample's standard deviation follows from its length."""
    error = spread / math.sqrt(len(found))
    near_zero = abs(float(found.mean())) <= _SIGMAS * error
    return near_zero and abs(float(found.std(correction=0)) - spread) <= _SIGMAS * error * math.sqrt(excess)
