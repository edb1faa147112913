"""Draws cells with the trainer's own sampler, and shares them among processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..core.errors import RespoError
from ..latents.randomness import keyed_noise
from ..latents.sampling import sample
from ..network import Conditioning, SplitUNet
from ..team import Team
from .cells import Cell, Store
from .steering import Steering

_AT_ONCE = 8  # pictures in one batch


@dataclass(frozen=True)
class Brush:
    """How pictures are drawn. `guidance`: None for each prompt's own, else the protocol's `usual`."""

    unet: SplitUNet
    checkpoint: str  # its sha256
    steering: Steering
    steps: int
    guidance: float | None
    usual: float

    def about(self, cell: Cell) -> dict[str, Any]:
        """Return all that a cell's pictures depend on."""
        modules = self.steering.modules
        return {
            "prompt": cell.ask.prompt,
            "seeds": [cell.seeds.start, cell.seeds.stop],
            "acts": [[[modules[n].sha256, name, modules[n].strength] for n, name in act] for act in cell.acts],
            "half": self.steering.half if any(cell.acts) else "",
            "steps": self.steps,
            "guidance": self.guidance_of(cell),
            "checkpoint": self.checkpoint,
            "latent_shape": list(self.unet.latent_shape),
            "compute": {**getattr(self.unet, "compute", {}), "device": self.unet.alphas_cumprod.device.type},
        }

    def guidance_of(self, cell: Cell) -> float:
        """Return what was asked for, else the prompt's own, else the protocol's."""
        found = (self.guidance, cell.ask.guidance, self.usual)
        return next(value for value in found if value is not None)

    def draw(self, cell: Cell) -> NDArray[np.uint8]:
        """Return the pictures of a cell, `[N, H, W, 3]`. Raises RespoError when the model draws no numbers."""
        cond, uncond = self.unet.encode_prompts([cell.ask.prompt, ""])
        noise = torch.stack([keyed_noise(self.unet.latent_shape, "evaluate", seed) for seed in cell.seeds])
        pictures: list[NDArray[np.uint8] | None] = [None] * len(cell.acts)
        for act in dict.fromkeys(cell.acts):
            rows = [row for row, own in enumerate(cell.acts) if own == act]
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
        latents = sample(self.unet, start, cond, uncond, self.steps, self.guidance_of(cell), module, self.steering.half)
        if not latents.isfinite().all():
            raise RespoError(
                f"expected pictures of {cell.ask.prompt!r}, but the checkpoint drew numbers that are not finite; try "
                "--precision float32, or a lower --guidance or --strength"
            )
        pictures = self.unet.decode(latents)
        if pictures is None:
            raise RespoError(
                "the checkpoint has no autoencoder inside. Use a full checkpoint, which can draw pictures."
            )
        found: NDArray[np.uint8] = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return found


def missing(brush: Brush, store: Store, cells: Sequence[Cell], say: Callable[[str], None]) -> list[Cell]:
    """Return the cells that have to be drawn, each once however often it is needed."""
    found: dict[str, Cell] = {}
    for cell in tqdm(cells, desc="looking at what is there", unit="cell", leave=False, delay=5):
        about = brush.about(cell)
        state = store.state(about)
        if state == "damaged" and str(about) not in found:
            say(f"a cell of {cell.ask.prompt[:80]!r} is damaged and is drawn again")
        if state != "good":
            found[str(about)] = cell
    return list(found.values())


def draw_missing(
    brush: Brush, store: Store, cells: Sequence[Cell], team: Team, say: Callable[[str], None]
) -> Mapping[str, int]:
    """Draw what is missing of `cells`, every process its share; return when all processes are done.

    Returns how many cells were there and how many were drawn. Ctrl-C loses the cell in the making, nothing else.
    """
    todo = missing(brush, store, cells, say if team.leads else lambda _: None)
    team.agree(False)  # nobody may draw before everybody has seen what is missing
    own = todo[team.rank :: team.size]
    with tqdm(total=sum(len(cell.acts) for cell in own), desc="drawing", unit="picture", disable=not team.leads) as bar:
        for cell in own:
            store.save(brush.about(cell), brush.draw(cell))
            bar.update(len(cell.acts))
    team.agree(False)
    return {"cells": len({str(brush.about(cell)) for cell in cells}), "drawn": len(todo)}
