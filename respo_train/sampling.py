"""Draw pictures through a U-Net cut in two, with or without a module: for objectives that learn from pictures, and for
previews."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .core.concept import ConceptModule
from .ddim import ddim_step, schedule
from .network import Conditioning, SplitUNet

Half = Literal["cond", "both"]


def guided(uncond: Tensor, cond: Tensor, guidance: float) -> Tensor:
    """Return classifier-free guidance's `uncond + guidance * (cond - uncond)`."""
    return uncond + guidance * (cond - uncond)


def predict(
    unet: SplitUNet, latents: Tensor, timesteps: Tensor, prompt: Conditioning, module: ConceptModule | None = None
) -> Tensor:
    """Return the predicted noise `[B, C, H, W]`, with `module` added to h if there is one."""
    encoded = unet.encoder(latents, timesteps, prompt)
    return unet.decoder(encoded, encoded.h if module is None else module(encoded.h))


@torch.no_grad()
def sample(
    unet: SplitUNet,
    noise: Tensor,
    prompt: Conditioning,
    negative: Conditioning,
    steps: int,
    guidance: float,
    module: ConceptModule | None = None,
    half: Half = "cond",
) -> Tensor:
    """Draw with DDIM: `noise` `[B, C, H, W]` in, latents of the finished pictures out.

    `module` is added to h on the conditional half of guidance, or on both.
    """
    timesteps, alphas = schedule(unet.alphas_cumprod, steps)
    latents = noise
    for step, timestep in enumerate(timesteps):
        t = timestep.expand(len(latents))
        cond = predict(unet, latents, t, prompt, module)
        uncond = predict(unet, latents, t, negative, module if half == "both" else None)
        now, after = alphas[step].expand(len(latents)), alphas[step + 1].expand(len(latents))
        latents = ddim_step(latents, guided(uncond, cond, guidance), now, after)
    return latents
