"""Rows about prompts: how many, where in the picture, when, with a ControlNet or a hook."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch

from .patches import lora
from .row import LONG, NEGATIVE, POSITIVE, SECOND, Row, calls, ksampler, node, prompt, sizes

row = partial(Row, "Prompts")


def area(x: int = 32, width: int = 64) -> list:
    """The second prompt in a part of a picture of 128 x 128 pixels."""
    given = {"width": width, "height": 128, "x": x, "y": 0, "strength": 1.0}
    return node("ConditioningSetArea", conditioning=prompt(SECOND), **given)


def masked(seed: int, left: bool, set_cond_area: str = "default") -> list:
    """A prompt in one half of the picture."""
    half = torch.zeros(1, 16, 16)
    half[..., :8] = 1
    mask = half if left else 1 - half
    return node("ConditioningSetMask", conditioning=prompt(seed), mask=mask, set_cond_area=set_cond_area, strength=1.0)


def combine(*conditionings: list) -> list:
    """All of them, as the host's Combine does it."""
    first, *rest = conditionings
    for other in rest:
        first = node("ConditioningCombine", conditioning_1=first, conditioning_2=other)
    return first


def timed(seed: int, start: float, end: float) -> list:
    """A prompt for a part of the run."""
    return node("ConditioningSetTimestepRange", conditioning=prompt(seed), start=start, end=end)


@cache
def control_net() -> Any:
    """A ControlNet of random weights; its residual at the middle block is not zero."""
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    sizes = {"image_size": 32, "in_channels": 4, "model_channels": 32, "hint_channels": 3, "channel_mult": (1, 2, 4)}
    depth = {"num_res_blocks": [1, 1, 1], "transformer_depth": [0, 1, 1], "transformer_depth_middle": 1}
    attention = {"num_heads": 4, "use_spatial_transformer": True, "context_dim": 16, "legacy": False}
    network = comfy.cldm.cldm.ControlNet(**sizes, **depth, **attention, operations=comfy.ops.disable_weight_init)
    generator = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.05, generator=generator)
    return comfy.controlnet.ControlNet(network.eval(), load_device=torch.device("cpu"))


def controlled(seed: int = POSITIVE) -> list:
    """A prompt with that ControlNet, as the host's older node makes it: the other half of guidance gets it as well."""
    hint = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(4))
    given = {"control_net": control_net(), "image": hint, "strength": 0.8}
    return node("ControlNetApply", conditioning=prompt(seed), **given)


def controlled_alone() -> list:
    """The prompt with a ControlNet that the negative prompt does not get."""
    ((tokens, options),) = controlled()
    return [[tokens, {**options, "control_apply_to_uncond": False}]]


def hooked() -> list:
    """The prompt with a LoRA of its own, which changes its strength half way."""
    import comfy.hooks

    hooks = comfy.hooks.create_hook_lora(lora(), 1.0, 0.0)
    frame = node("nodes_hooks.CreateHookKeyframe", strength_mult=0.3, start_percent=0.5)
    hooks = node("nodes_hooks.SetHookKeyframes", hooks=hooks, hook_kf=frame)
    given = {"cond_NEW": prompt(POSITIVE), "strength": 1.0, "set_cond_area": "default", "hooks": hooks}
    return node("nodes_hooks.ConditioningSetProperties", **given)


def default_behind() -> list:
    """A prompt in the left half, another one wherever no prompt is."""
    given = {"cond": masked(POSITIVE, True), "cond_DEFAULT": prompt(SECOND)}
    return node("nodes_hooks.ConditioningSetDefaultAndCombine", **given)


ROWS = (
    row("one prompt", "cfg 3", ksampler(), proof=lambda p: calls(p) == {(1, 0)}),
    row("CFG 1", "the host leaves the negative prompt out", ksampler(cfg=1.0), proof=lambda p: calls(p) == {(0,)}),
    row(
        "several prompts",
        "Conditioning (Combine) of two",
        ksampler(positive=lambda: combine(prompt(POSITIVE), prompt(SECOND))),
        proof=lambda p: {len(chunks) for chunks in calls(p)} == {3},
    ),
    row(
        "several negative prompts",
        "two on each side",
        ksampler(positive=lambda: combine(prompt(POSITIVE), prompt(SECOND)), negative=prompt(NEGATIVE) * 2),
        proof=lambda p: {len(chunks) for chunks in calls(p)} == {4},
    ),
    row("prompts of different lengths", "7 and 14 tokens", ksampler(positive=prompt(LONG))),
    row(
        "area prompts",
        "Conditioning (Set Area), combined with one for the whole picture",
        ksampler(positive=lambda: combine(prompt(POSITIVE), area())),
        proof=lambda p: sizes(p) == {(4, 4), (4, 2)},
    ),
    row(
        "area prompts alone",
        "two areas side by side, none for the whole picture",
        ksampler(positive=lambda: combine(area(0), area(64))),
        proof=lambda p: sizes(p) >= {(4, 2)},
    ),
    row(
        "an area in the negative prompt",
        "Conditioning (Set Area) on the other side",
        ksampler(negative=lambda: combine(prompt(NEGATIVE), [[prompt(NEGATIVE)[0][0], area()[0][1]]])),
        proof=lambda p: sizes(p) == {(4, 4), (4, 2)},
    ),
    row(
        "masked prompts",
        "Conditioning (Set Mask), one half each",
        ksampler(positive=lambda: combine(masked(POSITIVE, True), masked(SECOND, False))),
        proof=lambda p: sizes(p) == {(4, 4)},
    ),
    row(
        "masked prompts, to the mask's bounds",
        "Conditioning (Set Mask), set_cond_area: mask bounds",
        ksampler(positive=lambda: combine(prompt(POSITIVE), masked(SECOND, False, "mask bounds"))),
        proof=lambda p: (4, 2) in sizes(p),
    ),
    row(
        "regional prompts",
        "one for everything, an area and a mask",
        ksampler(positive=lambda: combine(prompt(POSITIVE), area(), masked(LONG, True))),
        proof=lambda p: (4, 2) in sizes(p),
    ),
    row("a default prompt", "Cond Set Default Combine behind a masked prompt", ksampler(positive=default_behind)),
    row(
        "prompts for parts of the run",
        "ConditioningSetTimestepRange, half and half",
        ksampler(steps=4, positive=lambda: combine(timed(POSITIVE, 0, 0.5), timed(SECOND, 0.5, 1))),
        proof=lambda p: len({place.text[0, 0].item() for place in p}) == 3,
    ),
    row("ControlNet", "its middle residual is not zero; both halves of guidance get it", ksampler(positive=controlled)),
    row(
        "ControlNet on the prompt alone",
        "the two halves of guidance run apart",
        ksampler(positive=controlled_alone),
        proof=lambda p: calls(p) == {(0,), (1,)},
    ),
    row(
        "ControlNet and an area",
        "one prompt controlled, another in an area",
        ksampler(positive=lambda: combine(controlled(), area())),
        proof=lambda p: sizes(p) == {(4, 4), (4, 2)},
    ),
    row(
        "hooks",
        "a LoRA on the prompt alone, with a keyframe that weakens it half way",
        ksampler(positive=hooked, steps=4),
        proof=lambda p: calls(p) == {(0,), (1,)},
    ),
)
