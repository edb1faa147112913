"""Do numbers look like PyTorch's initial values, before any training? Released files are full of such concepts.

The released matrices have room for ten or a hundred concepts, and training one concept changes only its own place. The
other places still hold random initial values. Added to h, they would silently ruin pictures.

- A column of `nn.Linear` starts uniform in ±1/sqrt(number of columns). The test is whether any value lies outside: of
  81,920 values some are so close to the bound that even training which moves each by 1e-4 takes a few beyond it. In the
  released SDisc file, trained columns have norms of 465 to 1482, untrained ones sqrt(81920 / 30) = 52.
- A row of an embedding starts standard normal, or as N(0, 0.02) where the project's code sets it anew. AdamW's weight
  decay also shrinks untouched rows (1e-2 × 1e-2 over 10,000 steps: to 0.37), all by the same factor. So rows are
  compared with those that no concept names, and with the smaller start.

The tolerances are five standard deviations for initial values of that length: about one mistake in a million.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SIGMAS = 5.0
_LARGEST = 6.0  # of normal initial values, in standard deviations: exceeded once in 10^9
_SMALL_START = 0.02  # the spread of rows before Learning Where It Matters' training, which moves them much further
_FEW = 8  # rows needed to estimate the spread of untouched rows


def is_uniform_start(values: Tensor, columns: int) -> bool:
    """Return whether `values` `[n]` look like a column of a fresh `nn.Linear(columns, n)`."""
    bound, found = columns**-0.5, values.double()
    # Rounding to half precision can move a number beyond the bound by its last digit.
    if float(found.abs().max()) > bound * (1 + torch.finfo(values.dtype).eps):
        return False
    return _has(found, bound / math.sqrt(3), excess=0.2)


def is_normal_start(values: Tensor, spread: float) -> bool:
    """Return whether `values` `[n]` look like initial values from a normal distribution of that spread."""
    found = values.double()
    return float(found.abs().max()) <= _LARGEST * spread and _has(found, spread, excess=0.5)


def is_small_normal_start(values: Tensor) -> bool:
    """Return whether `values` `[n]` look like initial values of N(0, 0.02), which weight decay may have shrunk."""
    spread = float(values.double().std(correction=0))
    largest = _SMALL_START * (1 + _SIGMAS / math.sqrt(2 * len(values)))
    return 0 < spread <= largest and is_normal_start(values, spread)


def spread_of_untouched(rows: Tensor) -> float:
    """Return the standard deviation of untrained rows `[m, n]`, at most 1; 1 when there are too few rows to tell.

    Weight decay only shrinks rows. Rows with larger values have been trained, even if no list of concepts names them.
    """
    if len(rows) < _FEW:
        return 1.0
    found = float(rows.double().std(1, correction=0).median())
    return found if 0 < found <= 1 else 1.0


def _has(found: Tensor, spread: float, excess: float) -> bool:
    """Return whether `found` has mean 0 and standard deviation `spread`, within the tolerance.

    `excess`: (kurtosis - 1) / 4, which gives the sampling error of the standard deviation.
    """
    error = spread / math.sqrt(len(found))
    near_zero = abs(float(found.mean())) <= _SIGMAS * error
    return near_zero and abs(float(found.std(correction=0)) - spread) <= _SIGMAS * error * math.sqrt(excess)
