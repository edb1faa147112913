"""DDIM (Song et al. 2021): timesteps and one deterministic step."""

from __future__ import annotations

import torch
from torch import Tensor


def ddim_timesteps(total: int, steps: int) -> Tensor:
    """Return `steps` evenly spaced timesteps, from `total` - 1 downwards: int64 `[steps]` ("trailing" spacing)."""
    return torch.tensor([round(total - i * total / steps) - 1 for i in range(steps)])


def ddim_step(latents: Tensor, noise: Tensor, alpha: Tensor, alpha_next: Tensor) -> Tensor:
    """Take one deterministic DDIM step (Song et al. 2021, equation 12, sigma = 0).

    `latents`, predicted `noise`: `[B, C, H, W]`; `alpha`, `alpha_next`: cumulative alphas now and after the step,
    `[B]`. Returns the latents after the step.
    """
    alpha, alpha_next = alpha.view(-1, 1, 1, 1), alpha_next.view(-1, 1, 1, 1)
    picture = (latents - (1 - alpha).sqrt() * noise) / alpha.sqrt()
    return alpha_next.sqrt() * picture + (1 - alpha_next).sqrt() * noise


def schedule(alphas_cumprod: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the timesteps `[K]` of K DDIM steps, and their cumulative alphas with that of the result, `[K + 1]`.

    The last alpha is 1: a finished picture.
    """
    timesteps = ddim_timesteps(len(alphas_cumprod), steps).to(alphas_cumprod.device)
    return timesteps, torch.cat([alphas_cumprod[timesteps], alphas_cumprod.new_ones(1)])
