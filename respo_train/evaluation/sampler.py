"""Draws cells with the trainer's own sampler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import Remedy, RespoError
from ..latents.randomness import keyed_noise
from ..latents.sampling import sample
from ..network import Conditioning, SplitNetwork
from .cells import Cell
from .protocol import Ask
from .steering import Act, Steering

CELL = 16  # pictures; the most that a kill can lose
_AT_ONCE = 8  # pictures in one batch


@dataclass(frozen=True)
class Brush:
    """How pictures are drawn. `guidance`: None for each prompt's own, else the protocol's `usual`."""

    unet: SplitNetwork
    checkpoint: str  # its sha256
    steering: Steering
    steps: int
    guidance: float | None
    usual: float

    def cells(self, ask: Ask, acts: Sequence[Act]) -> list[Cell]:
        """Cut a prompt's pictures, one act each, into cells. More pictures leave full cells as they are."""
        cut = [(first, tuple(acts[first : first + CELL])) for first in range(0, len(acts), CELL)]
        return [Cell(ask, first, len(own), self._about(ask, first, own), own) for first, own in cut]

    def _about(self, ask: Ask, first: int, acts: Sequence[Act]) -> dict[str, Any]:
        modules = self.steering.modules
        return {
            "prompt": ask.prompt,
            "seeds": [ask.seed + first, ask.seed + first + len(acts)],
            "acts": [[[modules[n].sha256, name, modules[n].strength] for n, name in act] for act in acts],
            "half": self.steering.half if any(acts) else "",
            "steps": self.steps,
            "guidance": self._guidance_of(ask),
            "checkpoint": self.checkpoint,
            "latent_shape": list(self.unet.latent_shape),
            "compute": {**getattr(self.unet, "compute", {}), "device": self.unet.alphas_cumprod.device.type},
        }

    def _guidance_of(self, ask: Ask) -> float:
        """Return what was set for all prompts, else the prompt's own, else the protocol's."""
        return next(value for value in (self.guidance, ask.guidance, self.usual) if value is not None)

    def draw(self, cell: Cell) -> NDArray[np.uint8]:
        """Return the pictures of a cell, `[N, H, W, 3]`. Raises RespoError for numbers that are not finite."""
        cond, uncond = self.unet.encode_prompts([cell.ask.prompt, ""])
        seeds = range(cell.ask.seed + cell.first, cell.ask.seed + cell.first + cell.count)
        noise = torch.stack([keyed_noise(self.unet.latent_shape, "evaluate", seed) for seed in seeds])
        pictures: list[NDArray[np.uint8] | None] = [None] * cell.count
        for act in dict.fromkeys(cell.work):
            rows = [row for row, own in enumerate(cell.work) if own == act]
            for part in (rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)):
                drawn = self._batch(cell, noise[part], cond, uncond, act)
                for row, picture in zip(part, drawn, strict=True):
                    pictures[row] = picture
        return np.stack([picture for picture in pictures if picture is not None])

    def _batch(
        self, cell: Cell, noise: torch.Tensor, cond: Conditioning, uncond: Conditioning, act: Any
    ) -> NDArray[np.uint8]:
        module = self.steering.module(act)
        if module is not None:
            module = module.to(self.unet.alphas_cumprod.device)
        start = noise.to(self.unet.alphas_cumprod)
        guidance = self._guidance_of(cell.ask)
        latents = sample(self.unet, start, cond, uncond, self.steps, guidance, module, self.steering.half)
        if not latents.isfinite().all():
            raise RespoError(
                f"expected pictures of {cell.ask.prompt!r}, but the checkpoint drew numbers that are not finite",
                Remedy("precision", "float32"),
                Remedy("guidance"),
                Remedy("strength"),
            )
        return pictures_from(self.unet, latents)


def pictures_from(unet: SplitNetwork, latents: torch.Tensor) -> NDArray[np.uint8]:
    """Return decoded latents, `[N, H, W, 3]` 0 … 255. Raises RespoError for a checkpoint without an autoencoder."""
    pictures = unet.decode(latents)
    if pictures is None:
        raise RespoError("the checkpoint has no autoencoder inside. Use a full checkpoint, which can draw pictures.")
    found: NDArray[np.uint8] = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return found
