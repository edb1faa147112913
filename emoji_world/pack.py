"""Write the checkpoints, in float16: a U-Net or a transformer, with text encoder and autoencoder.

Key names are Stable Diffusion 1.x's; the transformer's own are the host's.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from respo_train.core.files.write import make_folder, write_atomically

from .autoencoder import LATENT_FORMAT_SCALE

NETWORK = "model.diffusion_model."
TOKEN_IDS = "emoji_world.token_ids"
METADATA = {
    "modelspec.title": "Emoji World",
    "modelspec.description": "A miniature text-to-image model, biased on purpose: a test bench, not a product.",
    "modelspec.architecture": "emoji-world (Stable Diffusion 1.x in miniature)",
    "modelspec.license": "MIT (weights); art: OFL-1.1 / Apache-2.0 (Noto), MIT (Fluent)",
}


TRANSFORMER_METADATA = {
    **METADATA,
    "modelspec.title": "Emoji World, transformer",
    "modelspec.architecture": "emoji-world-transformer (Lumina 2 in miniature)",
}


def write_transformer(weights: dict[str, Tensor], world: Path, target: Path) -> Path:
    """Write the checkpoint `world` to `target`, with the transformer's `weights` for the U-Net's; return `target`."""
    state = {k: v for k, v in load_file(world).items() if not k.startswith(NETWORK)}
    state |= {NETWORK + name: weight.half() for name, weight in weights.items()}
    return _save(state, target, TRANSFORMER_METADATA)


def write_checkpoint(build: Path, target: Path) -> Path:
    """Join the two trained files in `build` into `target`, and return it."""
    denoiser, autoencoder = load_file(build / "refined.safetensors"), load_file(build / "autoencoder.safetensors")
    with safe_open(build / "refined.safetensors", "pt") as file:
        token_ids = json.loads(file.metadata()["token_ids"])
    state: dict[str, Tensor] = {TOKEN_IDS: torch.tensor(token_ids, dtype=torch.int32)}
    for name, weight in denoiser.items():
        state[_host_name(name)] = weight.half()
    for name, weight in autoencoder.items():
        state[f"first_stage_model.{name}"] = weight.half()
    # The host divides latents by its Stable Diffusion 1.x scale before decoding; this undoes it.
    state["first_stage_model.vae_scale"] = torch.tensor(LATENT_FORMAT_SCALE)
    state["first_stage_model.vae_shift"] = torch.tensor(0.0)
    return _save(state, target, METADATA)


def _save(state: dict[str, Tensor], target: Path, metadata: dict[str, str]) -> Path:
    make_folder(target.parent)
    write_atomically(target, save({name: weight.contiguous() for name, weight in state.items()}, metadata))
    return target


def _host_name(name: str) -> str:
    part, rest = name.split(".", 1)
    if part == "unet":
        return NETWORK + rest
    rest = rest.removeprefix("text_model.")  # transformers 4 has this level, transformers 5 does not
    return f"cond_stage_model.transformer.text_model.{rest}"
