"""One set of random weights in the host's U-Net and in diffusers' UNet2DConditionModel.

The names of the weights are matched by the host's own table. Nothing in here is from the pack or the trainer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

SD15_DOWN = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
SD15_UP = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
SDXL_DOWN = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
SDXL_UP = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
POOLED = 8  # width of SDXL's pooled text in these tests


@dataclass
class Stacks:
    """`patcher`: the host's model; `net`: diffusers', which shares its weights' memory."""

    patcher: Any
    net: Any

    @property
    def model(self) -> Any:
        """The host's BaseModel."""
        return self.patcher.model

    def predict(
        self, z: Tensor, t: Tensor, context: Tensor, delta: Tensor | None = None, added: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Return diffusers' predicted noise `[B, 4, H, W]`, with `delta` added behind the middle block."""
        with changed_middle(self.net, (lambda h: h) if delta is None else (lambda h: h + delta)):
            return self.net(z, t, context.expand(len(z), -1, -1), added_cond_kwargs=added).sample


@contextmanager
def changed_middle(net: Any, change: Any) -> Iterator[None]:
    """Put `change(h)` behind diffusers' middle block for a while."""
    handle = net.mid_block.register_forward_hook(lambda module, given, h: change(h))
    try:
        yield
    finally:
        handle.remove()


def sd15(channels: int = 32, width: int = 16) -> Stacks:
    """SD 1.x's structure: 320 channels and a text width of 768 are the real ones."""
    import comfy.model_base
    import comfy.supported_models as models
    from diffusers import UNet2DConditionModel

    depth = {"num_res_blocks": [2] * 4, "transformer_depth": [1] * 6 + [0] * 2, "transformer_depth_middle": 1}
    depth["transformer_depth_output"] = [1] * 9 + [0] * 3
    config = {**_common(channels, width), **depth, "channel_mult": (1, 2, 4, 4), "num_heads": 8}
    config |= {"use_linear_in_transformer": False}
    model = comfy.model_base.BaseModel(models.SD15(config))
    with torch.device("meta"):
        net = UNet2DConditionModel(
            block_out_channels=[channels * m for m in (1, 2, 4, 4)],
            down_block_types=SD15_DOWN,
            up_block_types=SD15_UP,
            layers_per_block=2,
            attention_head_dim=8,
            cross_attention_dim=width,
        )
    return _same_weights(model, net)


def sdxl(channels: int = 64, width: int = 16) -> Stacks:
    """SDXL's structure with 3 instead of 10 transformers at the bottom."""
    import comfy.model_base
    import comfy.supported_models as models
    from diffusers import UNet2DConditionModel

    depth = {"num_res_blocks": [2] * 3, "transformer_depth": [0, 0, 2, 2, 3, 3], "transformer_depth_middle": 3}
    depth["transformer_depth_output"] = [0, 0, 0, 2, 2, 2, 3, 3, 3]
    config = {**_common(channels, width), **depth, "channel_mult": (1, 2, 4), "num_head_channels": 64}
    adm = POOLED + 6 * 256
    config |= {"use_linear_in_transformer": True, "num_classes": "sequential", "adm_in_channels": adm}
    model = comfy.model_base.SDXL(models.SDXL(config))
    with torch.device("meta"):
        net = UNet2DConditionModel(
            block_out_channels=[channels * m for m in (1, 2, 4)],
            down_block_types=SDXL_DOWN,
            up_block_types=SDXL_UP,
            layers_per_block=2,
            attention_head_dim=[channels * m // 64 for m in (1, 2, 4)],
            transformer_layers_per_block=[1, 2, 3],
            cross_attention_dim=width,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=adm,
        )
    return _same_weights(model, net)


def _common(channels: int, width: int) -> dict[str, Any]:
    sizes = {"in_channels": 4, "out_channels": 4, "model_channels": channels, "image_size": 32, "context_dim": width}
    return {**sizes, "use_spatial_transformer": True, "legacy": False, "dtype": torch.float32}


@torch.no_grad()
def _same_weights(model: Any, net: Any) -> Stacks:
    import comfy.model_patcher
    import comfy.utils

    own = dict(model.diffusion_model.named_parameters())
    generator = torch.Generator().manual_seed(0)
    for name, parameter in own.items():
        # About as large out as in, through all layers: neither dying nor exploding numbers would tell anything.
        matrix = parameter.ndim > 1
        parameter.normal_(0, parameter[0].numel() ** -0.5 if matrix else 0.1, generator=generator)
        if not matrix and name.endswith("weight"):
            parameter.add_(1)
    table = comfy.utils.unet_to_diffusers(model.model_config.unet_config)
    wanted = net.state_dict().keys()
    # The table knows names of both kinds of added embedding.
    names = {theirs: ours for theirs, ours in table.items() if theirs in wanted}
    assert set(names.values()) == set(own)
    net.load_state_dict({theirs: own[ours].data for theirs, ours in names.items()}, strict=True, assign=True)
    cpu = torch.device("cpu")
    return Stacks(comfy.model_patcher.ModelPatcher(model, cpu, cpu), net.eval().requires_grad_(False))


class WordClip:
    """Stands for comfy.sd.CLIP: a random vector for each word at its place, between a begin and ends.

    `scale`: of the vectors; where words differ more, pixels look at different ones.
    """

    places = 7

    def __init__(self, width: int, scale: float = 1.0):
        self.width, self.scale = width, scale

    def tokenize(self, text: str) -> dict[str, list]:
        words = [_number(word) for word in text.split()]
        return {"l": [[(token, 1.0) for token in (-2, *words, *[-3] * (self.places - 1 - len(words)))]]}

    def encode_from_tokens(self, tokens: dict[str, list], return_pooled: bool, return_dict: bool) -> dict[str, Tensor]:
        found = [token for token, _ in tokens["l"][0]]
        cond = torch.stack([_vector(f"{place} {token}", self.width) for place, token in enumerate(found)])
        return {"cond": self.scale * cond[None], "pooled_output": _vector(str(found), POOLED)[None]}


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def _vector(text: str, width: int) -> Tensor:
    return torch.randn(width, generator=torch.Generator().manual_seed(_number(text)))


@contextmanager
def overheard(model: Any) -> Iterator[list[SimpleNamespace]]:
    """Collect each call of the host's U-Net: `x`, `t`, `context`, `y`, `chunks` and what it `returned`."""
    calls: list[SimpleNamespace] = []

    def listen(module: Any, given: tuple, more: dict, returned: Tensor) -> None:
        x, t = given
        chunks = more["transformer_options"]["cond_or_uncond"]
        own = {"context": more["context"].clone(), "y": more.get("y"), "chunks": list(chunks)}
        calls.append(SimpleNamespace(x=x.clone(), t=t.clone(), returned=returned.clone(), **own))

    handle = model.diffusion_model.register_forward_hook(listen, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def relative(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the largest expected number."""
    return float((found - expected).abs().max() / expected.abs().max())
