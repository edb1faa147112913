"""Emoji World's professions, drawn by the trainer's own sampler (DDIM, 20 steps, guidance 3) or by a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.comfy_server import ComfyServer, Entry
from benchmarks.evidence.bench import BENCH
from benchmarks.graph import CHECKPOINT, GUIDANCE, STEPS
from emoji_world import world
from emoji_world.measure import article
from respo_train.core.counting.balance import assign, parse_shares
from respo_train.core.module.concept import ConceptModule
from respo_train.host.load import load_unet
from respo_train.latents.randomness import keyed_noise
from respo_train.latents.sampling import sample
from respo_train.network import SplitUNet

Pictures = NDArray[np.uint8]  # [N, H, W, 3]
PROFESSIONS = [profession.word for profession in world.PROFESSIONS]
TRAINED = [profession.word for profession in world.PROFESSIONS if not profession.held_out]


def bench_unet() -> SplitUNet:
    """Return Emoji World's U-Net."""
    unet: SplitUNet = load_unet(BENCH / "checkpoint" / CHECKPOINT)
    return unet


def seeds_of(jobs: Sequence[str], first: int) -> dict[str, int]:
    """Return each profession's first seed; the seeds of two professions do not overlap."""
    return {job: first + 10_000 * index for index, job in enumerate(jobs)}


def equal_quotas(seeds: Mapping[str, int], images: int, concepts: Sequence[str]) -> dict[str, list[str]]:
    """Return what each of a profession's `images` pictures is asked to show: each concept equally often."""
    shares = parse_shares(", ".join(f"{name} 1" for name in concepts))
    return {job: assign(seed, images, shares) for job, seed in seeds.items()}


def photo_of(job: str, suffix: str = "") -> str:
    """Return a profession's prompt; `suffix` ends it."""
    return f"a photo of {article(job)} {job}{suffix}"


def draw(unet: SplitUNet, prompt: str, key: str, modules: Sequence[ConceptModule | None]) -> Pictures:
    """Draw one picture of `prompt` with each of `modules` (None: none), `[N, H, W, 3]`; same key, same noise."""
    cond, uncond = unet.encode_prompts([prompt, ""])
    noise = torch.stack([keyed_noise(unet.latent_shape, key, index) for index in range(len(modules))])
    latents = torch.zeros_like(noise)
    for module in dict.fromkeys(modules):
        rows = [index for index, own in enumerate(modules) if own is module]
        latents[rows] = sample(unet, noise[rows], cond, uncond, STEPS, GUIDANCE, module)
    pictures = unet.decode(latents)
    assert pictures is not None  # Emoji World has its autoencoder inside
    found: Pictures = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return found


def pictures_of(server: ComfyServer, entry: Entry, node: str) -> Pictures:
    """Return the pictures that a node of a finished run saved."""
    return np.stack([np.asarray(image.convert("RGB")) for image in server.images(entry, node)])
