"""A judge and a segmenter that read off what a test has painted: no network, no doubt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from respo_train.core.judge import UNSURE, Verdict
from respo_train.evaluation.drawn import Drawn

SIDE = 4
CLASSES = {"gender": ("woman", "man"), "skin": ("light", "medium", "dark"), "profession": ("doctor", "nurse")}


class ToyJudge:
    """The colours of a picture's first pixel are the numbers of its labels: red gender, green skin, blue profession.

    255, and any other number without a label, is unsure.
    """

    name = "a toy's judge"
    classes = CLASSES

    def __init__(self) -> None:
        self.looked_at = 0

    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:
        self.looked_at += len(images)
        numbers = (images[:, :, 0, 0] * 255).round().long()
        found = {}
        for column, (name, own) in enumerate(self.classes.items()):
            seen = [own[n] if n < len(own) else UNSURE for n in numbers[:, column].tolist()]
            found[name] = Verdict(tuple(seen), (1.0,) * len(seen))
        return found

    def features(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) * 255


class ToySegmenter:
    """Pure green is a person."""

    def masks(self, images: Tensor, batch: int = 64) -> Tensor:
        red, green, blue = images.unbind(1)
        return (green == 1) & (red == 0) & (blue == 0)


def show(group: str, *seen: str, asked: Sequence[str] | None = None, prompt: str = "") -> Drawn:
    """Paint one picture for each of `seen`: labels such as "woman dark nurse", or "?" for unsure of everything."""
    images = np.full((len(seen), SIDE, SIDE, 3), 128, dtype=np.uint8)
    for picture, words in zip(images, seen, strict=True):
        own = [next((names.index(w) for w in words.split() if w in names), 255) for names in CLASSES.values()]
        picture[0, 0] = own
    return Drawn(group, prompt or f"a photo of a {group}", images, tuple(asked or [""] * len(seen)))


def painted(group: str, *levels: int, persons: int = 0) -> Drawn:
    """Paint plain grey pictures, with that many rows of person."""
    images = np.zeros((len(levels), SIDE, SIDE, 3), dtype=np.uint8) + np.array(levels, np.uint8)[:, None, None, None]
    images[:, :persons] = (0, 255, 0)
    return Drawn(group, group, images, ("",) * len(levels))
