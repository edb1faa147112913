"""Pictures that were drawn for one prompt, and what each of them was asked to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..core.errors import RespoError
from .on_disk import Images

BETWEEN = ", "  # concepts of several attributes that one picture was asked to show: "woman, dark"


@dataclass(frozen=True, eq=False)
class Drawn:
    """Pictures of one prompt, `images` `[N, H, W, 3]` 0 … 255.

    `group`: what is averaged over, the profession ("doctor") or the subject ("dog"); several prompts may share one.
    `asked`: what each picture was asked to show, "woman" or "woman, dark"; "" where nothing was asked.
    Raises RespoError when these do not fit together.
    """

    group: str
    prompt: str
    images: Images
    asked: tuple[str, ...]
    held_out: bool = False

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            raise RespoError(
                f"expected pictures [N, height, width, 3] of numbers 0 … 255, found {self.images.dtype} "
                f"{list(self.images.shape)}"
            )
        if len(self.asked) != len(self.images):
            raise RespoError(f"expected what each of {len(self.images)} pictures was asked, found {len(self.asked)}")

    def asking(self, asked: Sequence[str]) -> Drawn:
        """Return the same pictures, measured against something else that they were asked to show."""
        return replace(self, asked=tuple(asked))


def strata(drawn: Sequence[Drawn]) -> list[tuple[str, str]]:
    """Return, for each picture, (group, asked): pictures are resampled among those that agree in both."""
    return [(one.group, asked) for one in drawn for asked in one.asked]


def to_tensor(pictures: Images) -> Tensor:
    """[N, H, W, 3] 0 … 255 -> [N, 3, H, W] 0 … 1, float32."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 255


def pairs(before: Sequence[Drawn], after: Sequence[Drawn]) -> list[tuple[Drawn, Drawn]]:
    """Pair what was drawn of the same prompts and seeds. Raises RespoError when it cannot be the same."""
    if len(before) != len(after):
        raise RespoError(f"expected the same prompts before and after, found {len(before)} and {len(after)}")
    for first, second in zip(before, after, strict=True):
        if (first.group, first.images.shape) != (second.group, second.images.shape):
            raise RespoError(
                f"expected the same pictures before and after, found {first.group!r} {list(first.images.shape)} and "
                f"{second.group!r} {list(second.images.shape)}"
            )
    return list(zip(before, after, strict=True))
