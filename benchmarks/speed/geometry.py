"""Networks of the structure of SD 1.5, SDXL and Z-Image, made by the host, with random weights and random text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from benchmarks.wrapped import Wrapped
from respo_train.core.module.architecture import Architecture
from respo_train.host.locate import use_host
from respo_train.host.split_unet import HostUNet
from respo_train.latents.randomness import keyed_noise
from respo_train.network import Conditioning

TOKENS = 77
_SHARED = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "use_spatial_transformer": True,
    "legacy": False,
    "use_temporal_attention": False,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "sd15": {
        **_SHARED,
        "channel_mult": [1, 2, 4, 4],
        "num_res_blocks": [2, 2, 2, 2],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
        "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        "use_linear_in_transformer": False,
        "context_dim": 768,
        "num_heads": 8,
        "adm_in_channels": None,
    },
    "sdxl": {
        **_SHARED,
        "channel_mult": [1, 2, 4],
        "num_res_blocks": [2, 2, 2],
        "transformer_depth": [0, 0, 2, 2, 10, 10],
        "transformer_depth_middle": 10,
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
        "use_linear_in_transformer": True,
        "context_dim": 2048,
        "num_head_channels": 64,
        "adm_in_channels": 2816,
        "num_classes": "sequential",
    },
    "z_image": {
        "image_model": "lumina2",
        "patch_size": 2,
        "in_channels": 16,
        "dim": 3840,
        "n_layers": 30,
        "n_refiner_layers": 2,
        "n_heads": 30,
        "n_kv_heads": 30,
        "axes_dims": [32, 48, 48],
        "axes_lens": [1536, 512, 512],
        "cap_feat_dim": 2560,
        "qk_norm": True,
        "rope_theta": 256.0,
        "ffn_dim_multiplier": 8.0 / 3.0,
        "z_image_modulation": True,
        "time_scale": 1000.0,
        "pad_tokens_multiple": 32,
    },
}


def host_model(family: str, dtype: torch.dtype, device: torch.device, **changes: Any) -> Any:
    """Return the host's model of `family`, its weights not filled in; `changes`: of the U-Net's configuration."""
    use_host()
    import comfy.model_base
    import comfy.supported_models as models

    base, kind = {
        "sd15": (models.SD15, comfy.model_base.BaseModel),
        "sdxl": (models.SDXL, comfy.model_base.SDXL),
        "z_image": (models.Lumina2, comfy.model_base.Lumina2),
    }[family]
    settings = base({**CONFIGS[family], **changes, "dtype": dtype})
    settings.set_inference_dtype(dtype, None)
    return kind(settings, device=device)


def random_model(family: str, dtype: torch.dtype, device: torch.device, **changes: Any) -> Any:
    """Return the host's model of `family`, its weights random and kept in `dtype`; `changes`: see `host_model`."""
    model = host_model(family, dtype, device, **changes)
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.diffusion_model.named_parameters():
            if parameter.ndim > 1:
                # Activations of size 1, as trained weights keep them: no overflow, no denormal numbers.
                bound = (3 / parameter[0].numel()) ** 0.5
                parameter.uniform_(-bound, bound, generator=generator)
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    return model.to(device)


def random_unet(family: str, dtype: torch.dtype, size: int) -> HostUNet:
    """Return that model's U-Net for pictures of `size` pixels, ready for training."""
    use_host()
    import comfy.model_management as management

    device = management.get_torch_device()
    model = random_model(family, dtype, device)
    for module in model.diffusion_model.modules():
        if isinstance(module, torch.nn.GroupNorm | torch.nn.LayerNorm):
            module.float()
    return HostUNet(SimpleNamespace(model=model), None, None, device, dtype, (size, size))


@dataclass
class WithRandomText(Wrapped):
    """A SplitNetwork without a text encoder, given prompts as `random_text` makes them."""

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        """Return the same random tensors for the same text."""
        like = self.unet.alphas_cumprod
        return [random_text(prompt, self.unet.architecture, like) for prompt in prompts]


def random_text(prompt: str, architecture: Architecture, like: Tensor) -> Conditioning:
    """Return standard noise that depends on `prompt`: `[1, 77, D]` and, for SDXL, `[1, A]`; no word tokens."""
    context = keyed_noise((1, TOKENS, architecture.context_dim), prompt, "context").to(like)
    if not architecture.adm_channels:
        return Conditioning(context)
    return Conditioning(context, keyed_noise((1, architecture.adm_channels), prompt, "added").to(like))
