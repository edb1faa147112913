"""Train the autoencoder on pictures without held-out art, and measure it on pictures with held-out art."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format

from respo_train.core.files.write import write_atomically
from respo_train.evaluation.drawn import to_tensor
from respo_train.precision import autocast

from .autoencoder import Autoencoder
from .dataset import Dataset
from .training import Loop, split_optimizers

BATCH = 8
LATENT_NOISE = 0.05


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return squared error plus absolute error of the picture and of its edges: sharp outlines without losing PSNR.

    Both [B, 3, H, W] in [0, 1]; returns a scalar.
    """
    error = output - target
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return 10 * error.square().mean() + 0.3 * error.abs().mean() + 0.3 * edges


def train(data: Dataset, folder: Path, steps: int, seed: int) -> Path:
    """Train for `steps`, write `folder/autoencoder.safetensors`, and return its path."""
    torch.manual_seed(seed)
    model = convert_conv2d_weight_memory_format(Autoencoder(), torch.channels_last)
    seen = data.indices(held_out=False)
    forward = torch.compile(model) if os.environ.get("EMOJI_WORLD_COMPILE", "1") == "1" else model

    def loss_of(generator: torch.Generator) -> Tensor:
        rows = seen[torch.randint(len(seen), (BATCH,), generator=generator).numpy()]
        images = to_tensor(data.images[rows]).contiguous(memory_format=torch.channels_last)
        with autocast():
            output, latents = forward(images, LATENT_NOISE)
        # Keeps the latents near zero mean and unit variance, as diffusion expects.
        spread = (latents.float().square().mean() - 1).square() + latents.float().mean().square()
        return reconstruction_loss(output.float(), images) + 0.003 * spread

    optimizers = split_optimizers(model, muon_lr=0.01, adam_lr=1e-3, plain=("taesd_decoder.1.", "taesd_encoder.0."))
    weights = Loop(model, optimizers, folder / "autoencoder.pt", steps, seed).run(loss_of, "autoencoder")
    target = folder / "autoencoder.safetensors"
    write_atomically(target, save({k: v.contiguous() for k, v in weights.items()}))
    return target


def psnr(model: Autoencoder, data: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return the reconstruction's PSNR in dB for every picture in `rows`, in float32, clamped to [0, 1]."""
    values = []
    with torch.inference_mode():
        for start in range(0, len(rows), 32):
            images = to_tensor(data.images[rows[start : start + 32]])
            output, _ = model(images)
            values.append(-10 * (output.clamp(0, 1) - images).square().mean((1, 2, 3)).log10())
    return torch.cat(values).numpy()
