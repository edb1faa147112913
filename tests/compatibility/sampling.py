"""Rows about the run: samplers, how it starts and ends, sizes, batches, precision, memory."""

from __future__ import annotations

from functools import partial
from typing import Any
from unittest.mock import patch as replaced

import torch
from torch import Tensor

from .row import NEGATIVE, POSITIVE, Row, calls, ksampler, latent, node, prompt, sizes

row = partial(Row, "Sampling")

SAMPLERS = {
    "euler": "normal",
    "euler_ancestral": "normal",
    "heun": "karras",
    "dpmpp_2m": "karras",
    "dpmpp_sde": "karras",
    "ddim": "ddim_uniform",
    "uni_pc": "simple",
    "lcm": "sgm_uniform",
}
SIZES = ((8, 32), (32, 8), (17, 23), (9, 13), (24, 40), (5, 41), (33, 33))
# The others call the U-Net as one of these does. "euler" is in every other row.
QUICK_SAMPLERS = ("heun", "dpmpp_sde", "ddim", "uni_pc", "lcm")
QUICK_SIZES = ((8, 32), (17, 23), (5, 41))
QUICK_BATCHES = (1, 3, 4, 16)
INPAINTING = {"in_channels": 9}


def small(count: int = 2, height: int = 16, width: int = 16) -> dict[str, Tensor]:
    """A picture to start from."""
    return latent(count, height, width, full=True)


def with_mask() -> dict[str, Tensor]:
    """A picture of which a part is to be painted anew."""
    mask = torch.zeros(1, 128, 128)
    mask[:, 40:, 24:88] = 1
    return node("SetLatentNoiseMask", samples=small(), mask=mask)


def advanced(model: Any, **given: Any) -> dict[str, Tensor]:
    """A run of KSampler (Advanced) of 4 steps."""
    usual = {"add_noise": "enable", "noise_seed": 5, "steps": 4, "cfg": 3.0, "sampler_name": "euler"}
    prompts = {"scheduler": "normal", "positive": prompt(POSITIVE), "negative": prompt(NEGATIVE)}
    ends = {"start_at_step": 0, "end_at_step": 10000, "return_with_leftover_noise": "disable"}
    return node("KSamplerAdvanced", model=model, **{**usual, **prompts, **ends, **given})


def late(model: Any) -> Tensor:
    """The second half of a run, on a picture."""
    return advanced(model, latent_image=small(), start_at_step=2)["samples"]


def two_halves(model: Any) -> Tensor:
    """A run cut in two."""
    half = advanced(model, latent_image=latent(), end_at_step=2, return_with_leftover_noise="enable")
    return advanced(model, latent_image=half, add_noise="disable", start_at_step=2)["samples"]


def two_passes(model: Any) -> Tensor:
    """A picture, made larger, and a second pass over it."""
    first = {"samples": ksampler()(model)}
    given = {"upscale_method": "bilinear", "width": 216, "height": 160, "crop": "disabled"}
    return ksampler(latent=node("LatentUpscale", samples=first, **given), denoise=0.6, seed=6)(model)


def little_memory(model: Any) -> Tensor:
    """A run in which the host finds no room for more than one chunk at a time."""
    import comfy.model_management
    import comfy.samplers
    from comfy.model_patcher import ModelPatcher

    class Full:
        """The host's memory management, without any free memory."""

        def get_free_memory(self, *_: Any) -> int:
            return 0

        def __getattr__(self, name: str) -> Any:
            return getattr(comfy.model_management, name)

    if hasattr(comfy.samplers, "model_management"):
        full = replaced.object(comfy.samplers, "model_management", Full())
    else:  # newer hosts ask the patched model
        full = replaced.object(ModelPatcher, "get_free_memory", lambda *_: 0)
    with full:
        return ksampler()(model)


def concatenated(model: Any) -> Tensor:
    """A run of an inpainting model, whose U-Net gets the mask and the picture as further channels."""
    with replaced.object(model.model, "concat_keys", ("mask", "masked_image"), create=True):
        return ksampler(latent=with_mask)(model)


ROWS = (
    *(
        row(
            f"sampler {name}",
            f"scheduler {s}",
            ksampler(sampler_name=name, scheduler=s),
            slow=name not in QUICK_SAMPLERS,
        )
        for name, s in SAMPLERS.items()
    ),
    row("img2img", "denoise 0.5", ksampler(latent=small, denoise=0.5)),
    row("inpainting", "a noise mask on a picture", ksampler(latent=with_mask)),
    row("an inpainting model", "nine input channels: mask and picture", concatenated, weights=INPAINTING),
    row("a second pass", "a larger size, denoise 0.6", two_passes, proof=lambda p: sizes(p) == {(4, 4), (5, 7)}),
    row("KSampler (Advanced), late", "starts at step 2 of 4", late),
    row("KSampler (Advanced), in two halves", "steps 0–2 with leftover noise, then 2–4", two_halves),
    row(
        "low memory",
        "the host runs one chunk at a time",
        little_memory,
        proof=lambda p: calls(p) == {(0,), (1,)},
    ),
    *(
        row(
            f"latent {h} × {w}",
            "any aspect ratio, odd sizes",
            ksampler(latent=latent(2, h, w)),
            slow=(h, w) not in QUICK_SIZES,
        )
        for h, w in SIZES
    ),
    *(
        row(
            f"batch of {n}",
            "64 × 64 pixels",
            ksampler(latent=latent(n, 8, 8), steps=2),
            slow=n not in QUICK_BATCHES,
        )
        for n in range(1, 17)
    ),
    row("float32", "weights and computation", ksampler()),
    row(
        "float16",
        "weights and computation",
        ksampler(latent=latent(2, 8, 8), steps=1),
        weights={"dtype": torch.float16},
    ),
    row("bfloat16", "weights and computation", ksampler(), weights={"dtype": torch.bfloat16}),
)
