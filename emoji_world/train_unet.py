"""Train the U-Net and the text encoder together, on the pictures' latents.

The U-Net predicts the noise, on Stable Diffusion 1.x's schedule.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format
from tqdm import tqdm

from respo_train.core.files.write import write_atomically
from respo_train.evaluation.drawn import to_tensor
from respo_train.precision import autocast

from . import text
from .autoencoder import Autoencoder
from .captions import Picture
from .dataset import Dataset
from .training import Loop, split_optimizers
from .unet import UNet

BATCH = 64
UNCONDITIONAL = 0.10  # share of captions replaced by the empty one, for classifier-free guidance
# The first run sees every picture equally often. The second goes on from there and sees those with explicit captions
# more often, so that "a woman mechanic" outweighs the bias of mechanics; neutral captions keep their bias.
FIRST_RUN, SECOND_RUN = 2400, 1000  # steps
EXPLICIT_EMPHASIS, NIGHT_EMPHASIS = 4.0, 2.5
UNKNOWN_WORD = 0.08  # share of captions with an unknown word inserted, which the encoder learns to ignore
MIN_SNR = 5.0


def alphas_cumprod() -> Tensor:
    """Return Stable Diffusion 1.x's schedule (scaled linear, 0.00085…0.012), float32 [1000]."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


class Denoiser(nn.Module):
    """Text encoder and U-Net as one module: (latents, timesteps, token rows) -> noise."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.unet = UNet()
        self.text = text.build(tokens)

    def forward(self, x: Tensor, timesteps: Tensor, rows: Tensor) -> Tensor:
        """[B, 4, H, W], [B], [B, MAX_TOKENS] -> [B, 4, H, W]."""
        return self.unet(x, timesteps, text.context(self.text, rows))


def encode(data: Dataset, folder: Path) -> Tensor:
    """Return the latents of all pictures, float16 [N, 4, 16, 16]; kept in `folder/latents.safetensors`."""
    target, source = folder / "latents.safetensors", folder / "autoencoder.safetensors"
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return load_file(target)["latents"]
    model = Autoencoder()
    model.load_state_dict(load_file(source))
    model = convert_conv2d_weight_memory_format(model.eval(), torch.channels_last)
    parts = []
    with torch.inference_mode(), autocast():
        for start in tqdm(range(0, len(data.images), 64), desc="latents"):
            images = to_tensor(data.images[start : start + 64]).contiguous(memory_format=torch.channels_last)
            parts.append(model.taesd_encoder(images).half())
    latents = torch.cat(parts).contiguous()
    write_atomically(target, save({"latents": latents}))
    return latents


def train(data: Dataset, folder: Path, tokenizer: Path, seed: int, steps: int = FIRST_RUN) -> None:
    """Train from scratch for `steps` and write `folder/denoiser.safetensors`."""
    torch.manual_seed(seed)
    weights = torch.ones(len(data.pictures))
    _run(data, folder, tokenizer, "denoiser", None, weights, steps, (0.02, 1.5e-3), seed)


def refine(data: Dataset, folder: Path, tokenizer: Path, seed: int, steps: int = SECOND_RUN) -> None:
    """Go on from `train`'s weights for `steps` and write `folder/refined.safetensors`."""
    torch.manual_seed(seed)
    start = load_file(folder / "denoiser.safetensors")
    weights = torch.tensor([_emphasis(p) for p in data.pictures])
    _run(data, folder, tokenizer, "refined", start, weights, steps, (0.012, 8e-4), seed + 1)


def _emphasis(picture: Picture) -> float:
    if picture.kind == "explicit":
        return EXPLICIT_EMPHASIS
    return NIGHT_EMPHASIS if picture.kind == "neutral" and "at night" in picture.caption else 1.0


def _run(
    data: Dataset,
    folder: Path,
    tokenizer: Path,
    name: str,
    start: dict[str, Tensor] | None,
    weights: Tensor,
    steps: int,
    rates: tuple[float, float],
    seed: int,
) -> None:
    latents = encode(data, folder)
    captions = [p.caption for p in data.pictures]
    vocabulary = text.Vocabulary(tokenizer, [*captions, ""])
    model = convert_conv2d_weight_memory_format(Denoiser(vocabulary.size), torch.channels_last)
    if start is not None:
        model.load_state_dict(start)
    forward = torch.compile(model) if os.environ.get("EMOJI_WORLD_COMPILE", "1") == "1" else model
    rows, empty = _tokenize(vocabulary, captions, seed), torch.tensor(vocabulary.rows(""))
    loss_of = _noise_loss(forward, latents, rows, empty, weights)
    optimizers = split_optimizers(model, *rates, plain=("embedding", "unet.out.", "input_blocks.0."))
    averaged = Loop(model, optimizers, folder / f"{name}.pt", steps, seed).run(loss_of, name)
    state = {k: v.contiguous() for k, v in averaged.items()}
    write_atomically(folder / f"{name}.safetensors", save(state, {"token_ids": json.dumps(vocabulary.token_ids)}))


def _noise_loss(
    forward: Callable[..., Tensor], latents: Tensor, rows: Tensor, empty: Tensor, weights: Tensor
) -> Callable[[torch.Generator], Tensor]:
    """Return the loss of one batch; `weights` [N] say how often each picture is drawn."""
    schedule = alphas_cumprod()
    weight = _min_snr_weights(schedule)

    def loss_of(generator: torch.Generator) -> Tensor:
        index = torch.multinomial(weights, BATCH, replacement=True, generator=generator)
        z = latents[index].float()
        noise = torch.randn(z.shape, generator=generator)
        t = (torch.randperm(BATCH, generator=generator) + torch.rand(BATCH, generator=generator)) * (1000 / BATCH)
        t = t.long()  # one timestep from each of BATCH equal strata: less noise in the loss
        a = schedule[t][:, None, None, None]
        noisy = (a.sqrt() * z + (1 - a).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        words = torch.where(torch.rand(BATCH, 1, generator=generator) < UNCONDITIONAL, empty, rows[index])
        with autocast():
            predicted = forward(noisy, t, words)
        return (weight[t] * (predicted.float() - noise).square().mean((1, 2, 3))).mean()

    return loss_of


def _tokenize(vocabulary: text.Vocabulary, captions: list[str], seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    foreign = rng.uniform(size=(len(captions), 2))
    return torch.tensor(
        [
            vocabulary.rows_with_unknown(c, p) if u < UNKNOWN_WORD else vocabulary.rows(c)
            for c, (u, p) in zip(captions, foreign, strict=True)
        ]
    )


def _min_snr_weights(schedule: Tensor) -> Tensor:
    """Return min(SNR, 5) / SNR for every timestep (Hang et al. 2023, noise prediction)."""
    snr = schedule / (1 - schedule)
    return snr.clamp(max=MIN_SNR) / snr
