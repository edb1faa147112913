"""Check that a U-Net can be trained with, and that a text encoder and an autoencoder are of the same kind of model."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..core.errors import RespoError
from ..core.module.architecture import Architecture

FULL_WEIGHTS = "Use the model's .safetensors file with weights in float16, bfloat16, float32 or fp8."


def check_weights(network: nn.Module) -> None:
    """Raise RespoError for weights that are not numbers as they stand, as GGUF files have them."""
    packed = [name for name, parameter in network.named_parameters() if not parameter.is_floating_point()]
    if packed:
        raise RespoError(
            f"expected weights that can be trained with, found {len(packed)} quantised ones, as of a GGUF file "
            f"({packed[0]}). {FULL_WEIGHTS}"
        )


def check_fit(architecture: Architecture, clip: Any, vae: Any, link: str, channels: int) -> None:
    """Raise RespoError for a CLIP or VAE of another kind of model.

    `link`: what the user does with files or nodes; `channels`: of the model's latents.
    """
    width = clip.encode_from_tokens(clip.tokenize("")).shape[-1]
    if width != architecture.context_dim:
        raise RespoError(
            f"expected the text encoder (CLIP) of {architecture.describe()}, which gives "
            f"{architecture.context_dim} numbers per token, found one that gives {width}. {link} the CLIP of the "
            "same checkpoint."
        )
    found = getattr(vae, "latent_channels", None)
    if found not in (None, channels):
        raise RespoError(
            f"expected a VAE of {channels} latent channels, found one of {found}. {link} the VAE of the same "
            "checkpoint."
        )
