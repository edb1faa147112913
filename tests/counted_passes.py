"""Which passes through a network a piece of work consists of, read off the running code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from benchmarks.wrapped import Wrapped
from respo_train.network import AttentionHook, Conditioning, Encoded

Kind = Literal["encoder", "decoder", "decoder with gradients"]


@dataclass(frozen=True, order=True)
class Call:
    """One pass through half of a U-Net, `batch` latents at once."""

    kind: Kind
    batch: int


@dataclass
class Counting(Wrapped):
    """A SplitNetwork that hands everything on and counts the passes."""

    calls: Counter[Call] = field(default_factory=Counter)

    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        """Count and run."""
        self.calls[Call("encoder", len(latents))] += 1
        return self.unet.encoder(latents, timesteps, conditioning, hook)

    def decoder(self, encoded: Encoded, h: Tensor, hook: AttentionHook | None = None) -> Tensor:
        """Count and run."""
        graph = h.requires_grad and torch.is_grad_enabled()
        self.calls[Call("decoder with gradients" if graph else "decoder", len(h))] += 1
        return self.unet.decoder(encoded, h, hook)


def calls_of(counting: Counting, work: Callable[[], object]) -> Counter[Call]:
    """Return the passes that `work` runs."""
    counting.calls.clear()
    work()
    return Counter(counting.calls)
