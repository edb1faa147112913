"""Real emoji, as the evidence needs them: people without objects, all kinds equally often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import file_sha256

REFERENCE = Path(__file__).resolve().parent / "reference.npz"
SIDE = 32  # pixels of the small pictures that the second judge compares


def load_real(judge: Path) -> NDArray[np.float64]:
    """Return rows of features whose mean and covariance are those of the judge's features of real pictures, `[M, D]`.

    Raises RespoError when they were computed by another judge.
    """
    with np.load(REFERENCE) as file:
        made_by, mean, root = str(file["judge"]), file["mean"].astype(np.float64), file["root"].astype(np.float64)
    if made_by != file_sha256(judge):
        raise RespoError(f"{REFERENCE.name} was made with another judge: run python -m benchmarks.evidence.build")
    return rows_of(mean, root)


def rows_of(mean: NDArray[np.float64], root: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 2 K rows with this mean and the covariance root.T @ root. `root`: `[K, D]`."""
    spread = root * np.sqrt((2 * len(root) - 1) / 2)
    return np.concatenate([mean + spread, mean - spread])
