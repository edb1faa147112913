"""The families of transformers that can be steered: the host's own classes at small width, of random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

TEXT, COLUMNS, ROWS = 7, 6, 8
LATENT = (2 * ROWS, 2 * COLUMNS)
AXES = [8, 12, 12]
FLUX = {
    "image_model": "flux",
    "in_channels": 4,
    "out_channels": 4,
    "patch_size": 2,
    "vec_in_dim": 8,
    "theta": 10000,
    "context_in_dim": 16,
    "hidden_size": 64,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": AXES,
    "qkv_bias": True,
    "guidance_embed": False,
}
CHROMA = {
    **{name: value for name, value in FLUX.items() if name not in ("vec_in_dim", "guidance_embed")},
    "image_model": "chroma",
    "in_channels": 16,
    "out_channels": 16,
    "in_dim": 64,
    "out_dim": 64,
    "hidden_dim": 64,
    "n_layers": 2,
}
LUMINA = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 4,
    "dim": 64,
    "n_layers": 4,
    "n_refiner_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 2,
    "axes_dims": AXES,
    "axes_lens": [64, 64, 64],
    "cap_feat_dim": 16,
    "qk_norm": True,
    "ffn_dim_multiplier": 2.0,
}


@dataclass(frozen=True)
class Kind:
    """One line of the table. `rows`: block -> the attribute and index of its module, and its image tokens, by hand.

    `image`: (a block's output, text tokens, image tokens) -> the tensor of the row, and where the image begins.
    """

    model: str
    config: dict[str, Any]
    family: str
    rows: dict[int, tuple[str, int, Callable[[Any, int, int], tuple[Tensor, int]]]]
    channels: tuple[int, ...] = (4,)
    pooled: bool = False
    references: bool = False
    width: int = 64


def first(output: Any, text: int, image: int) -> tuple[Tensor, int]:
    return output[0], 0


def second(output: Any, text: int, image: int) -> tuple[Tensor, int]:
    return output[1], 0


def behind_the_text(output: Any, text: int, image: int) -> tuple[Tensor, int]:
    return output, text


def padded(output: Any, text: int, image: int) -> tuple[Tensor, int]:
    """Text and image are each filled up to a multiple of 32."""
    return output, -(-text // 32) * 32


FLUX_ROWS = {2: ("double_blocks", 1, first), 3: ("single_blocks", 0, behind_the_text)}
KINDS = {
    "Lumina 2": Kind("Lumina2", LUMINA, "lumina2", {3: ("layers", 2, behind_the_text)}),
    "Z-Image": Kind(
        "Lumina2",
        {
            **LUMINA,
            "dim": 256,
            "n_heads": 8,
            "n_kv_heads": 8,
            "z_image_modulation": True,
            "pad_tokens_multiple": 32,
        },
        "lumina2",
        {1: ("layers", 0, padded), 4: ("layers", 3, padded)},
    ),
    "Flux": Kind("Flux", FLUX, "flux", FLUX_ROWS, pooled=True, references=True),
    "Chroma": Kind("Chroma", CHROMA, "chroma", FLUX_ROWS, pooled=True),
    "Qwen-Image": Kind(
        "QwenImage",
        {
            "image_model": "qwen_image",
            "in_channels": 64,
            "out_channels": 16,
            "num_layers": 3,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "joint_attention_dim": 16,
            "axes_dims_rope": AXES,
        },
        "qwen_image",
        {2: ("transformer_blocks", 1, second)},
        channels=(16, 1),
        references=True,
    ),
    "SD 3": Kind(
        "SD3",
        {
            "in_channels": 4,
            "out_channels": 4,
            "patch_size": 2,
            "depth": 3,
            "adm_in_channels": 8,
            "input_size": None,
            "num_patches": 1024,
            "pos_embed_max_size": 32,
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": 16, "out_features": 192},
            },
        },
        "sd3",
        {2: ("joint_blocks", 1, second)},
        pooled=True,
        width=192,
    ),
}


def make(kind: Kind) -> Any:
    import comfy.latent_formats
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models_base

    class Small(comfy.supported_models_base.BASE):
        latent_format = comfy.latent_formats.Wan21 if len(kind.channels) > 1 else comfy.latent_formats.SD15
        memory_usage_factor = 1.0

    Small.unet_config, Small.unet_extra_config, Small.sampling_settings = {}, {}, {"shift": 3.0}
    config = Small({**kind.config, **newer_hosts(kind), "dtype": torch.float32})
    config.set_inference_dtype(torch.float32, None)
    model = getattr(comfy.model_base, kind.model)(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.08, generator=generator)
    if kind.family == "sd3":
        model.diffusion_model.pos_embed.normal_(0, 0.08, generator=generator)  # a buffer, left as it was in memory
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, cpu, cpu)


def newer_hosts(kind: Kind) -> dict[str, Any]:
    """What newer hosts want beside the configuration."""
    import comfy.ldm.chroma.model
    import comfy.ldm.flux.model

    parameters = {"flux": comfy.ldm.flux.model.FluxParams, "chroma": comfy.ldm.chroma.model.ChromaParams}
    known = {field.name for field in fields(parameters[kind.family])} if kind.family in parameters else set()
    wanted = {"txt_ids_dims": [], "vec_in_dim": 8}
    return {name: value for name, value in wanted.items() if name in known and name not in kind.config}
