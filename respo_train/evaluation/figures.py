"""All figures in one place, to import them from."""

from __future__ import annotations

from .background import (
    background_psnr,
    background_psnr_of_mean,
    background_psnrs,
    identical,
    perceptual_distance,
    perceptual_distances,
)
from .drawn import Drawn
from .figure import Figure, mean_of, paired_difference, ratio_of, share_of
from .frechet import features, frechet
from .ratios import coin_flip, deviation, joint_deviation, perfect
from .shares import accuracy, accuracy_lost, agreement, obeyed, right, share, showing

__all__ = [
    "Drawn",
    "Figure",
    "accuracy",
    "accuracy_lost",
    "agreement",
    "background_psnr",
    "background_psnr_of_mean",
    "background_psnrs",
    "coin_flip",
    "deviation",
    "features",
    "frechet",
    "identical",
    "joint_deviation",
    "mean_of",
    "obeyed",
    "paired_difference",
    "perceptual_distance",
    "perceptual_distances",
    "perfect",
    "ratio_of",
    "right",
    "share",
    "share_of",
    "showing",
]
