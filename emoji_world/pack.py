"""Write the one checkpoint: U-Net, text encoder and autoencoder under Stable Diffusion 1.x's key names, in float16."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from respo_train.core.files.write import make_folder, write_atomically

from .autoencoder import LATENT_FORMAT_SCALE

TOKEN_IDS = "emoji_world.token_ids"
METADATA = {
    "modelspec.title": "Emoji World",
    "modelspec.description": "A miniature text-to-image model, biased on purpose: a test bench, not a product.",
    "modelspec.architecture": "emoji-world (Stable Diffusion 1.x in miniature)",
    "modelspec.license": "MIT (weights); art: OFL-1.1 / Apache-2.0 (Noto), MIT (Fluent)",
}


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
    make_folder(target.parent)
    write_atomically(target, save({name: weight.contiguous() for name, weight in state.items()}, METADATA))
    return target


def _host_name(name: str) -> str:
    part, rest = name.split(".", 1)
    if part == "unet":
        return f"model.diffusion_model.{rest}"
    rest = rest.removeprefix("text_model.")  # transformers 4 has this level, transformers 5 does not
    return f"cond_stage_model.transformer.text_model.{rest}"
