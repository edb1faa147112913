"""Training latents: a batch of DDIM trajectories, each at its own step, which advance once per optimizer step.

RespoDiff's released trainer samples a whole trajectory to use one of its latents; here every latent is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from .ddim import ddim_step, schedule
from .randomness import keyed_noise

# (latents, timesteps, their rows in the batch) -> guided noise prediction
Predict = Callable[[Tensor, Tensor, Sequence[int]], Tensor]


@dataclass
class Trajectories:
    """`latents` `[B, C, H, W]` float32; row b is at DDIM step `positions[b]` of its `rounds[b]`-th picture.

    `timesteps` `[K]` and `alphas` `[K + 1]`: see `ddim.schedule`. `key`: names the random stream. Noise depends only on
    key, trajectory and round, so no generator state matters. `indices`: which trajectories of a larger batch these are,
    when several processes share it.
    """

    key: str
    indices: range
    offsets: list[int]
    timesteps: Tensor
    alphas: Tensor
    latents: Tensor
    positions: list[int]
    rounds: list[int]

    @classmethod
    def start(
        cls,
        key: str,
        alphas_cumprod: Tensor,
        steps: int,
        batch: int,
        shape: tuple[int, int, int],
        indices: range | None = None,
    ) -> Trajectories:
        """Begin `batch` trajectories of `steps` DDIM steps from fresh noise, or only those in `indices`.

        `shape`: of one latent, (C, H, W).
        """
        timesteps, alphas = schedule(alphas_cumprod, steps)
        indices = range(batch) if indices is None else indices
        latents = torch.stack([keyed_noise(shape, key, index, 0) for index in indices]).to(alphas)
        # `stagger` advances each trajectory to its offset, so that every batch covers all noise levels.
        offsets = [index * steps // batch for index in indices]
        return cls(key, indices, offsets, timesteps, alphas, latents, [0] * len(indices), [0] * len(indices))

    @property
    def current_timesteps(self) -> Tensor:
        """The current timestep of each latent, `[B]`."""
        return self.timesteps[self.positions]

    def stagger(self, predict: Predict, label: str | None = None) -> None:
        """Advance trajectory b to step b K / B. `label`: of a progress bar; None for no bar."""
        offsets = self.offsets
        rounds = range(max(offsets))
        # This takes about as long as ten optimizer steps, which is minutes on a large model.
        for step in tqdm(rounds, desc=label, leave=False, disable=label is None, unit="step"):
            rows = [b for b, offset in enumerate(offsets) if offset > step]
            timesteps = self.timesteps[[self.positions[b] for b in rows]]
            self._move(rows, predict(self.latents[rows], timesteps, rows))

    def advance(self, predicted: Tensor) -> None:
        """Take one DDIM step with the `predicted` noise of all latents; restart finished pictures from fresh noise."""
        self._move(list(range(len(self.positions))), predicted)
        for b, position in enumerate(self.positions):
            if position == len(self.timesteps):
                self.positions[b] = 0
                self.rounds[b] += 1
                self.latents[b] = keyed_noise(tuple(self.latents.shape[1:]), self.key, self.indices[b], self.rounds[b])

    def tensors(self) -> dict[str, Tensor]:
        """See `objectives.objective.Source`."""
        return {"latents": self.latents}

    def numbers(self) -> dict[str, list[int]]:
        """See `objectives.objective.Source`."""
        return {"positions": list(self.positions), "rounds": list(self.rounds)}

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, list[int]]) -> None:
        """See `objectives.objective.Source`."""
        self.latents = tensors["latents"].to(self.latents)
        self.positions, self.rounds = list(numbers["positions"]), list(numbers["rounds"])

    def _move(self, rows: list[int], predicted: Tensor) -> None:
        now = [self.positions[b] for b in rows]
        after = [position + 1 for position in now]
        self.latents[rows] = ddim_step(self.latents[rows], predicted, self.alphas[now], self.alphas[after])
        for b in rows:
            self.positions[b] += 1
