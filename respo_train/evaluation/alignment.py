"""How well pictures fit their prompt, by CLIP: RespoDiff's "WinoAlign" (arXiv 2509.15257, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .drawn import Drawn, to_tensor

_AT_ONCE = 32


@runtime_checkable
class Aligns(Protocol):
    """A judge that compares pictures with sentences."""

    def logits(self, images: Tensor, sentences: Sequence[str]) -> Tensor:
        """`[B, 3, H, W]` in 0 … 1 and S sentences -> `[B, S]`: 100 times the cosine."""


@torch.inference_mode()
def alignments(judge: Aligns, drawn: Sequence[Drawn]) -> NDArray[np.float64]:
    """Return CLIP's logit of each picture and its own, neutral prompt."""
    found = [
        judge.logits(to_tensor(one.images[start : start + _AT_ONCE]), [one.prompt])[:, 0].double().numpy()
        for one in drawn
        for start in range(0, len(one.images), _AT_ONCE)
    ]
    return np.concatenate(found) if found else np.zeros(0)
