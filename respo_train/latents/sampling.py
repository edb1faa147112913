"""Draw pictures through a U-Net cut in two, with or without a module: for objectives that learn from pictures, and for
previews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ..core.errors import RespoError
from ..core.module.concept import ConceptModule
from ..network import Conditioning, Encoded, SplitUNet
from .ddim import ddim_step, schedule

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
def predict_many(
    unet: SplitUNet, latents: Tensor, timesteps: Tensor, prompts: Sequence[Conditioning]
) -> tuple[list[Tensor], Encoded]:
    """Return the predicted noise `[B, C, H, W]` for every prompt, and the first prompt's first half to decode again.

    Each prompt is one for all latents, or has a row for each. The P prompts go through the U-Net as one batch of P B:
    on Emoji World with B = 8 a fifth less time for the first half, a tenth for the second. Prompts of unequal length go
    one by one.
    """
    count, batch = len(prompts), len(latents)
    if len({prompt.context.shape[1] for prompt in prompts}) > 1:
        encoded = [unet.encoder(latents, timesteps, prompt) for prompt in prompts]
        return [unet.decoder(half, half.h) for half in encoded], encoded[0]
    together = unet.encoder(latents.repeat(count, 1, 1, 1), timesteps.repeat(count), _joined(prompts, batch))
    return list(unet.decoder(together, together.h).split(batch)), _first_rows(together, batch)


def one_a_row(prompts: Sequence[Conditioning]) -> Conditioning:
    """Return one conditioning with a row for each prompt. Raises RespoError for prompts of unequal length."""
    lengths = {prompt.context.shape[1] for prompt in prompts}
    if len(lengths) > 1:
        raise RespoError(
            f"expected prompts that the text encoder puts into equally many tokens, found {sorted(lengths)}; shorten "
            "the longest of 'people' or [probe]"
        )
    added = [prompt.added for prompt in prompts if prompt.added is not None]
    return Conditioning(torch.cat([prompt.context for prompt in prompts]), torch.cat(added) if added else None)


def _joined(prompts: Sequence[Conditioning], batch: int) -> Conditioning:
    """Return one conditioning with `batch` rows for each prompt."""
    added = [prompt.added.expand(batch, -1) for prompt in prompts if prompt.added is not None]
    context = torch.cat([prompt.context.expand(batch, -1, -1) for prompt in prompts])
    return Conditioning(context, torch.cat(added) if added else None)


def _first_rows(encoded: Encoded, count: int) -> Encoded:
    # Copies: a view would keep the other rows in memory as long.
    h, embedding, context, latents, timesteps = (
        x[:count].clone() for x in (encoded.h, encoded.embedding, encoded.context, encoded.latents, encoded.timesteps)
    )
    return Encoded(h, tuple(skip[:count].clone() for skip in encoded.skips), embedding, context, latents, timesteps)


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
