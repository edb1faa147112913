"""The second paper's own background code (Learning Where It Matters, TMLR 2026), restated for its cost alone.

1. The whole unmodified run; the unconditional half's h of every step is kept.
2. For every step and channel a wavelet transform on the CPU, its details dropped, and back: 50 steps of 1280 channels
   are 64,000 transforms a picture.
3. The whole run again: to both halves of h go the vector, one number a channel, and the kept run's low band.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pywt
import torch
from torch import Tensor, nn

VECTOR_SCALE = 2.0
LOW_BAND_WEIGHT = 1.0  # in the code; 0.35 in the paper


@dataclass
class TwoPass:
    """`network`: the host's U-Net; `vector`: `[C]`. Takes the U-Net's h by a hook of PyTorch's, not by the host's."""

    network: nn.Module
    vector: Tensor
    kept: list[Tensor] = field(default_factory=list)
    low: list[Tensor] = field(default_factory=list)
    transforms: int = 0

    def run(self, sample: Callable[[], Tensor]) -> Tensor:
        """Return the second run's latents. `sample`: one whole run of the network, guided, one call a step."""
        self.kept.clear()
        self._with(self._keep, sample)
        self.low = [self.low_band(h) for h in self.kept]
        return self._with(self._steer, sample)

    def low_band(self, h: Tensor) -> Tensor:
        """Return the Haar approximation of `[C, H, W]`, channel by channel."""
        found = np.empty(tuple(h.shape), np.float32)
        height, width = h.shape[1:]
        for channel, values in enumerate(h.float().cpu().numpy()):
            approximation, _ = pywt.dwt2(values, "db1")
            found[channel] = pywt.idwt2((approximation, (None, None, None)), "db1")[:height, :width]
            self.transforms += 1
        return torch.from_numpy(found).to(h)

    def _keep(self, h: Tensor) -> Tensor:
        self.kept.append(h[: len(h) // 2][0].clone())  # the host puts the unconditional half first
        return h

    def _steer(self, h: Tensor) -> Tensor:
        vector = VECTOR_SCALE * self.vector.to(h)[:, None, None]
        return h + vector + LOW_BAND_WEIGHT * self.low.pop(0)

    def _with(self, change: Callable[[Tensor], Tensor], sample: Callable[[], Tensor]) -> Tensor:
        middle = self.network.middle_block
        assert isinstance(middle, nn.Sequential)
        handle = middle[-1].register_forward_hook(lambda _, __, h: change(h))
        try:
            return sample()
        finally:
            handle.remove()
