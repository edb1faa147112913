"""A second judge of another kind: the nearest real emoji, pixel by pixel. Nothing in it is learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from respo_train.core.judge import Verdict

from .reference import REFERENCE, SIDE

HEADS = ("gender", "skin", "profession")
SHIFTS = (-6, -4, -2, 0, 2, 4, 6)  # pixels of a picture of 128 to the side, where the generator puts people
ZOOMS = (0.945, 0.975, 1.0, 1.03)
_AT_ONCE = 64


class NearestEmoji:
    """Names the person whose picture is nearest, wherever in the middle it stands and however large it is.

    `sprites`: `[N, S, S, 4]` 0 … 1, colours times alpha; `labels`: gender, skin and profession of each. The distance is
    the mean squared difference inside the person, so that the background, which it has not seen, does not matter.
    It is never unsure.
    """

    name = "nearest emoji"

    def __init__(self, sprites: Tensor, labels: Sequence[Sequence[str]]) -> None:
        self.classes = {
            head: tuple(dict.fromkeys(own)) for head, own in zip(HEADS, zip(*labels, strict=True), strict=True)
        }
        moved = torch.cat([placed(sprites, shift, zoom) for zoom in ZOOMS for shift in SHIFTS])
        self._labels = [tuple(own) for own in labels]
        alpha, colours = moved[..., 3], moved[..., :3]
        self._square = alpha.square().flatten(1)
        self._cross = (alpha[..., None] * colours).flatten(1)
        self._own = colours.square().flatten(1).sum(1)
        self._size = self._square.sum(1)

    def verdicts(self, images: Tensor, batch: int = _AT_ONCE) -> dict[str, Verdict]:
        """[B, 3, H, W] in 0 … 1 -> one Verdict per attribute; its confidence is 1 minus the distance."""
        nearest: list[int] = []
        distances: list[float] = []
        for part in images.float().split(batch):
            pixels = functional.interpolate(part, size=(SIDE, SIDE), mode="area").permute(0, 2, 3, 1)
            squares = pixels.square().sum(-1).flatten(1) @ self._square.T
            found = (squares - 2 * pixels.flatten(1) @ self._cross.T + self._own) / self._size
            values, places = found.min(1)
            distances += values.tolist()
            nearest += (places % len(self._labels)).tolist()
        confidence = tuple(1 - value for value in distances)
        return {head: Verdict(tuple(self._labels[i][n] for i in nearest), confidence) for n, head in enumerate(HEADS)}


def placed(sprites: Tensor, shift: float, zoom: float) -> Tensor:
    """Move people sideways by `shift` pixels of 128, and make them `zoom` times as large, feet where they were."""
    theta = torch.tensor([[1 / zoom, 0, -2 * shift / 128], [0, 1 / zoom, 1 - 1 / zoom]]).expand(len(sprites), 2, 3)
    images = sprites.permute(0, 3, 1, 2)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False).permute(0, 2, 3, 1)


def load_second(path: Path = REFERENCE) -> NearestEmoji:
    """Read the shipped pictures."""
    with np.load(path) as file:
        return NearestEmoji(torch.from_numpy(file["sprites"].astype(np.float32) / 255), file["labels"].tolist())
