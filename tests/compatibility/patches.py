"""Rows about other patches of the model, before and after Respo's in the graph."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from .row import NEGATIVE, POSITIVE, Patch, Places, Row, ksampler, patch, prompt_of, sizes

row = partial(Row, "Model patches")

FREE_U = {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}
FULL_ATTENTION = {
    "transformer_depth": (1, 1, 1),
    "transformer_depth_output": (1, 1, 1, 1, 1, 1),
    "num_heads": 4,
    "num_head_channels": -1,
}
SHRINK = {
    "downscale_factor": 2.0,
    "start_percent": 0.0,
    "end_percent": 0.35,
    "downscale_after_skip": True,
    "downscale_method": "bicubic",
    "upscale_method": "bicubic",
}


def lora() -> dict[str, Tensor]:
    """A LoRA of random numbers, on an attention layer and on the middle block itself."""
    generator = torch.Generator().manual_seed(6)
    layers = ("middle_block.1.transformer_blocks.0.attn2.to_q", "middle_block.1.proj_out", "output_blocks.3.1.proj_in")
    weights = {}
    for layer in layers:
        width = 128 if layer.startswith("middle") else 64
        convolution = (1, 1) if "proj" in layer else ()
        weights[f"diffusion_model.{layer}.lora_up.weight"] = torch.randn(width, 4, *convolution, generator=generator)
        weights[f"diffusion_model.{layer}.lora_down.weight"] = torch.randn(4, width, *convolution, generator=generator)
    return weights


def with_lora(model: Any) -> Any:
    """The MODEL with that LoRA, as Load LoRA does it."""
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, None, lora(), 0.2, 0.0)[0]


def easy_cache() -> Patch:
    """EasyCache, set so that it leaves steps out."""
    numbers = {"reuse_threshold": 3.0, "start_percent": 0.0, "end_percent": 1.0, "verbose": False}
    return patch("nodes_easycache.EasyCacheNode", **numbers)


def deep_shrink(block: int) -> Patch:
    """Deep Shrink behind an input block."""
    return patch("nodes_model_downscale.PatchModelAddDownscale", block_number=block, **SHRINK)


def has_negative_as_first(places: Places) -> bool:
    """Whether some call gave the negative prompt the number of the positive one."""
    found = {(place.chunk, prompt_of(place.text)) for place in places}
    return {(0, POSITIVE), (1, NEGATIVE), (0, NEGATIVE)} <= found


def both_ways(name: str, how: str, other: Patch, **given: Any) -> tuple[Row, Row]:
    """A row with the other node before Respo's and one with it behind."""
    run = given.pop("run", ksampler())
    return (
        row(f"{name}, then Respo", how, run, before=other, **given),
        row(f"Respo, then {name}", how, run, after=other, **{"at": "middle", **given}),
    )


ROWS = (
    *both_ways("FreeU", "scales h and the skip connections", patch("nodes_freelunch.FreeU", **FREE_U)),
    *both_ways("FreeU V2", "the same by another rule", patch("nodes_freelunch.FreeU_V2", **FREE_U)),
    *both_ways(
        "PAG",
        "the prompt once more with perturbed attention, in a call of its own",
        patch("nodes_pag.PerturbedAttentionGuidance", scale=2.0),
        proof=lambda p: {place.chunks for place in p} == {(1, 0), (0,)},
    ),
    *both_ways(
        "SAG",
        "the negative prompt once more, as the call's chunk number 0, which must not be taken for a prompt",
        patch("nodes_sag.SelfAttentionGuidance", scale=0.8, blur_sigma=2.0),
        proof=has_negative_as_first,
    ),
    *both_ways(
        "SAG and PAG",
        "both, with CFG 1",
        lambda model: patch("nodes_sag.SelfAttentionGuidance", scale=0.8, blur_sigma=2.0)(
            patch("nodes_pag.PerturbedAttentionGuidance", scale=2.0)(model)
        ),
        run=ksampler(cfg=1.0),
    ),
    *both_ways(
        "HyperTile",
        "attention in tiles",
        patch("nodes_hypertile.HyperTile", tile_size=32, swap_size=2, max_depth=1, scale_depth=False),
    ),
    *both_ways(
        "Tome",
        "merged tokens, in attention at full size",
        patch("nodes_tomesd.TomePatchModel", ratio=0.3),
        weights=FULL_ATTENTION,
    ),
    *both_ways(
        "Deep Shrink",
        "h is half as large in the first third of the run",
        deep_shrink(3),
        run=ksampler(steps=4),
        proof=lambda p: sizes(p) == {(4, 4), (2, 2)},
    ),
    row(
        "Deep Shrink at the last input block, then Respo",
        "h has its usual size again when Respo sees it",
        ksampler(steps=4),
        before=deep_shrink(5),
        proof=lambda p: sizes(p) == {(4, 4)},
    ),
    row(
        "Respo, then Deep Shrink at the last input block",
        "Respo sees h half as large",
        ksampler(steps=4),
        after=deep_shrink(5),
        at="middle",
        proof=lambda p: sizes(p) == {(4, 4), (2, 2)},
    ),
    *both_ways("LoRA", "weights patched, in the middle block, too", with_lora),
    *both_ways("RescaleCFG", "rescaled guidance", patch("nodes_model_advanced.RescaleCFG", multiplier=0.7)),
    *both_ways(
        "ModelSamplingDiscrete",
        "v-prediction with zero terminal SNR",
        patch("nodes_model_advanced.ModelSamplingDiscrete", sampling="v_prediction", zsnr=True),
    ),
    *both_ways("EasyCache", "whole steps are left out", easy_cache(), run=ksampler(steps=6)),
)
