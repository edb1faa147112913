"""Which passes an optimizer step consists of: read off the running code, so that no schedule is written down twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from respo_train.network import AttentionHook, Conditioning, Encoded, SplitNetwork

Kind = Literal["encoder", "decoder", "decoder with gradients"]


@dataclass(frozen=True, order=True)
class Call:
    """One pass through half of a U-Net, `batch` latents at once."""

    kind: Kind
    batch: int


@dataclass
class Counting:
    """A SplitNetwork that hands everything on and counts the passes."""

    unet: SplitNetwork
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

    def __getattr__(self, name: str) -> Any:
        """Everything else is the U-Net's."""
        return getattr(self.unet, name)


def calls_of(counting: Counting, work: Callable[[], object]) -> Counter[Call]:
    """Return the passes that `work` runs."""
    counting.calls.clear()
    work()
    return Counter(counting.calls)


def rows(calls: Counter[Call], kind: Kind) -> int:
    """Return how many latents pass through one half in all."""
    return sum(count * call.batch for call, count in calls.items() if call.kind == kind)
