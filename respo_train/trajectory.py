"""Latents to train at: a batch of DDIM trajectories, each at its own step, advanced once per optimizer step.

The released trainer samples a whole trajectory to use one of its latents; here every latent is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# (latents, timesteps) -> guided noise prediction
Predict = Callable[[Tensor, Tensor], Tensor]


def ddim_timesteps(total: int, steps: int) -> Tensor:
    """Return `steps` timesteps from `total` - 1 downwards, evenly spaced, `[steps]` int64 ("trailing" spacing)."""
    return torch.tensor([round(total - i * total / steps) - 1 for i in range(steps)])


def ddim_step(latents: Tensor, noise: Tensor, alpha: Tensor, alpha_next: Tensor) -> Tensor:
    """Take one deterministic DDIM step (Song et al. 2021, equation 12, sigma = 0).

    `latents` and predicted `noise` `[B, C, H, W]` at `alpha` (cumulative, `[B]`); returns the latents at `alpha_next`.
    """
    alpha, alpha_next = alpha.view(-1, 1, 1, 1), alpha_next.view(-1, 1, 1, 1)
    picture = (latents - (1 - alpha).sqrt() * noise) / alpha.sqrt()
    return alpha_next.sqrt() * picture + (1 - alpha_next).sqrt() * noise


@dataclass
class Trajectories:
    """`latents` `[B, C, H, W]` float32, each at its own DDIM step `positions[b]` of its `rounds[b]`-th picture.

    `timesteps` `[K]` and `alphas` `[K + 1]` (the last is 1: a finished picture) are the schedule; `key` names the
    random stream. Noise depends on key, trajectory and round alone, so there is no generator whose state matters.
    """

    key: str
    timesteps: Tensor
    alphas: Tensor
    latents: Tensor
    positions: list[int]
    rounds: list[int]

    @classmethod
    def start(
        cls, key: str, alphas_cumprod: Tensor, steps: int, batch: int, shape: tuple[int, int, int]
    ) -> Trajectories:
        """Begin `batch` trajectories of `steps` DDIM steps from fresh noise. `shape`: of one latent."""
        timesteps = ddim_timesteps(len(alphas_cumprod), steps).to(alphas_cumprod.device)
        alphas = torch.cat([alphas_cumprod[timesteps], alphas_cumprod.new_ones(1)])
        latents = torch.stack([_noise(key, index, 0, shape) for index in range(batch)]).to(alphas)
        return cls(key, timesteps, alphas, latents, [0] * batch, [0] * batch)

    @property
    def current_timesteps(self) -> Tensor:
        """`[B]`: the timestep that each latent is at."""
        return self.timesteps[self.positions]

    def stagger(self, predict: Predict) -> None:
        """Advance trajectory b to step b K / B, so that a batch covers all noise levels from the first step on."""
        offsets = [b * len(self.timesteps) // len(self.positions) for b in range(len(self.positions))]
        for step in range(max(offsets)):
            rows = [b for b, offset in enumerate(offsets) if offset > step]
            noise = predict(self.latents[rows], self.timesteps[[self.positions[b] for b in rows]])
            self._move(rows, noise)

    def advance(self, noise: Tensor) -> None:
        """Take one DDIM step with the predicted `noise` of all latents; a finished picture gives way to fresh noise."""
        self._move(list(range(len(self.positions))), noise)
        for b, position in enumerate(self.positions):
            if position == len(self.timesteps):
                self.positions[b] = 0
                self.rounds[b] += 1
                self.latents[b] = _noise(self.key, b, self.rounds[b], tuple(self.latents.shape[1:]))

    def _move(self, rows: list[int], noise: Tensor) -> None:
        now = [self.positions[b] for b in rows]
        after = [position + 1 for position in now]
        self.latents[rows] = ddim_step(self.latents[rows], noise, self.alphas[now], self.alphas[after])
        for b in rows:
            self.positions[b] += 1


def _noise(key: str, index: int, round_: int, shape: tuple[int, ...]) -> Tensor:
    digest = hashlib.blake2b(f"{key} {index} {round_}".encode(), digest_size=8).digest()
    # Drawn on the CPU: the same numbers whatever device trains.
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    return torch.randn(shape, generator=generator)
