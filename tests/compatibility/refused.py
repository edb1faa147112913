"""Models that Respo cannot work with: what a node has to say of them when it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Refused:
    """`make`: (make_model of the conftest) -> MODEL; `says`: what the error has to name."""

    name: str
    make: Callable[[Callable], Any]
    says: tuple[str, ...]


def without_numbers(model: Any) -> Any:
    """A MODEL whose weights take no memory."""
    import comfy.model_patcher

    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, cpu, cpu)


def flux(_: Callable) -> Any:
    """The host's Flux, much smaller."""
    from transformer_kinds import KINDS, make

    return make(KINDS["Flux"])


def sd3(_: Callable) -> Any:
    """The host's SD 3, much smaller."""
    import comfy.model_base
    import comfy.supported_models

    text = {"target": "torch.nn.Linear", "params": {"in_features": 16, "out_features": 64}}
    sizes = {"in_channels": 16, "patch_size": 2, "depth": 1, "input_size": None, "adm_in_channels": 16}
    place = {"num_patches": 64, "pos_embed_max_size": 8, "pos_embed_scaling_factor": None}
    settings = {"dtype": torch.float32, "context_embedder_config": text, **sizes, **place}
    model = comfy.model_base.SD3(comfy.supported_models.SD3(settings), device=torch.device("meta"))
    return without_numbers(model)


def wan(_: Callable) -> Any:
    """The host's Wan, much smaller."""
    import comfy.model_base
    import comfy.supported_models

    sizes = {"dim": 32, "ffn_dim": 32, "num_heads": 2, "num_layers": 1, "text_dim": 16, "freq_dim": 16, "in_dim": 16}
    kind = {"image_model": "wan2.1", "model_type": "t2v", "dtype": torch.float32}
    settings = comfy.supported_models.WAN21_T2V({**kind, **sizes})
    return without_numbers(comfy.model_base.WAN21(settings, device=torch.device("meta")))


def sdxl(_: Callable) -> Any:
    """SDXL's U-Net."""
    from benchmarks.speed.geometry import host_model

    return without_numbers(host_model("sdxl", torch.bfloat16, torch.device("meta")))


def cut_down(make_model: Callable) -> Any:
    """A U-Net built without a middle block, as the smallest distilled ones are."""
    return make_model(transformer_depth_middle=-2)


def removed(make_model: Callable) -> Any:
    """A U-Net whose middle block somebody took out."""
    model = make_model()
    model.model.diffusion_model.middle_block = None
    return model


REFUSED = (
    Refused("Wan, a video model", wan, ("WanModel", "SD 1.x, 2.x, SDXL", "these transformers")),
    Refused("Flux, with a module for a U-Net", flux, ("unet-32-16", "Flux (h: 64 channels behind block 2)")),
    Refused("Stable Diffusion 3, with a module for a U-Net", sd3, ("unet-32-16", "trained on Stable Diffusion 3")),
    Refused("a distilled U-Net without a middle block", cut_down, ("distilled", "middle block", "distilled from")),
    Refused("a U-Net whose middle block was taken out", removed, ("UNetModel", "has none", "SDXL checkpoint")),
    Refused("SDXL, with a module for another U-Net", sdxl, ("unet-32-16", "Stable Diffusion XL", "load the other")),
    Refused(
        "h with another number of channels",
        lambda make_model: make_model(channel_mult=(1, 2, 2)),
        ("h: 128 channels", "h: 64 channels", "load the other model"),
    ),
    Refused(
        "text of another width",
        lambda make_model: make_model(context_dim=24),
        ("unet-32-16", "unet-32-24", "load the other model"),
    ),
)
