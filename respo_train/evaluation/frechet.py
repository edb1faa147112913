"""The Fréchet distance between two sets of pictures, in a judge's feature space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .drawn import Drawn, strata, to_tensor
from .figure import Figure, nothing

_SAMPLES = 60  # a resampled distance takes tenths of a second


class HasFeatures(Protocol):
    """A judge that also gives its features."""

    def features(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] in 0 … 1 -> [B, D]."""


@torch.inference_mode()
def features(judge: HasFeatures, drawn: Sequence[Drawn], batch: int = 64) -> NDArray[np.float64]:
    """Return one row of features for each picture, `[N, D]`."""
    parts = [
        judge.features(to_tensor(one.images[start : start + batch])).double().cpu().numpy()
        for one in drawn
        for start in range(0, len(one.images), batch)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 0))


def distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return |m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½) of two sets of features, `[N, D]` and `[M, D]`, N and M from 2 on.

    (Heusel et al., arXiv 1706.08500.) With S = A.T A the last trace is the sum of A1 A2.T's singular values, which
    needs no root of a matrix that is nearly singular.
    """
    one, two = (_root(x) for x in (first, second))
    shift = np.square(first.mean(0) - second.mean(0)).sum()
    mixed = np.linalg.svd(one @ two.T, compute_uv=False).sum()
    return float(max(shift + np.square(one).sum() + np.square(two).sum() - 2 * mixed, 0.0))


def _root(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a small A with A.T A the covariance of the rows of `x`."""
    root: NDArray[np.float64] = np.linalg.qr((x - x.mean(0)) / np.sqrt(len(x) - 1), mode="r")  # type: ignore[assignment]
    return root


def frechet(judge: HasFeatures, drawn: Sequence[Drawn], reference: NDArray[np.float64]) -> Figure:
    """Return the distance of the drawn pictures to `reference`, features `[M, D]` of others.

    It is biased upwards for few pictures, and more so for resampled ones. So the interval is the spread of the
    resampled distances, centred on the value.
    """
    own = features(judge, drawn)
    if len(own) < 2 or len(reference) < 2:
        return nothing(len(own), f"needs at least two pictures of each kind, found {len(own)} and {len(reference)}")
    value = distance(own, reference)
    rng = np.random.default_rng(0)
    names = strata(drawn)
    rows = [np.flatnonzero([name == other for name in names]) for other in dict.fromkeys(names)]
    found = np.array(
        [distance(own[np.concatenate([rng.choice(r, len(r)) for r in rows])], reference) for _ in range(_SAMPLES)]
    )
    low, high = np.percentile(found - found.mean(), [2.5, 97.5]) + value
    few = min(len(own), len(reference)) <= own.shape[1]
    note = f"too large: fewer pictures than the {own.shape[1]} features" if few else ""
    return Figure(value, max(float(low), 0.0), float(high), len(own), note)
