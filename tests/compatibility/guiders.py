"""Rows about guidance: guiders of custom samplers, and which of their prompts count as the conditional half."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from .conditioning import area, combine
from .row import EMPTY, NEGATIVE, POSITIVE, SECOND, Row, Run, calls, ksampler, latent, node, patch, prompt

row = partial(Row, "Guiders")

CUSTOM = "nodes_custom_sampler"


def guided(guider: Callable[[Any], Any], sampler: str = "euler") -> Run:
    """A run of SamplerCustomAdvanced. `guider`: MODEL -> GUIDER."""

    def run(model: Any) -> Tensor:
        schedule = {"scheduler": "karras", "steps": 3, "denoise": 1.0}
        given = {
            "noise": node(f"{CUSTOM}.RandomNoise", noise_seed=5),
            "guider": guider(model),
            "sampler": node(f"{CUSTOM}.KSamplerSelect", sampler_name=sampler),
            "sigmas": node(f"{CUSTOM}.BasicScheduler", model=model, **schedule),
            "latent_image": latent(),
        }
        return node(f"{CUSTOM}.SamplerCustomAdvanced", **given)["samples"]

    return run


def cfg_guider(model: Any, positive: Any = None) -> Any:
    """The usual guider."""
    prompts = {"positive": positive or prompt(POSITIVE), "negative": prompt(NEGATIVE)}
    return node(f"{CUSTOM}.CFGGuider", model=model, cfg=3.0, **prompts)


def basic_guider(model: Any) -> Any:
    """One prompt, no guidance."""
    return node(f"{CUSTOM}.BasicGuider", model=model, conditioning=prompt(POSITIVE))


def dual_guider(model: Any, style: str, cond2: Any = None) -> Any:
    """Two prompts that are guided apart."""
    prompts = {"cond1": prompt(POSITIVE), "cond2": cond2 or prompt(SECOND), "negative": prompt(NEGATIVE)}
    scales = {"cfg_conds": 3.0, "cfg_cond2_negative": 2.0}
    return node(f"{CUSTOM}.DualCFGGuider", model=model, style=style, **prompts, **scales)


def perp_neg(model: Any) -> Any:
    """A negative prompt and an empty one."""
    prompts = {"positive": prompt(POSITIVE), "negative": prompt(NEGATIVE), "empty_conditioning": prompt(EMPTY)}
    return node("nodes_perpneg.PerpNegGuider", model=model, cfg=3.0, neg_scale=1.0, **prompts)


def custom_sampler(model: Any) -> Tensor:
    """A run of SamplerCustom."""
    given = {
        "model": model,
        "add_noise": True,
        "noise_seed": 5,
        "cfg": 3.0,
        "positive": prompt(POSITIVE),
        "negative": prompt(NEGATIVE),
        "sampler": node(f"{CUSTOM}.KSamplerSelect", sampler_name="dpmpp_2m"),
        "sigmas": node(f"{CUSTOM}.KarrasScheduler", steps=3, sigma_max=14.6, sigma_min=0.03, rho=7.0),
        "latent_image": latent(),
    }
    return node(f"{CUSTOM}.SamplerCustom", **given)["samples"]


ROWS = (
    row("SamplerCustom", "dpmpp_2m, Karras' sigmas", custom_sampler),
    row("SamplerCustomAdvanced, CFGGuider", "euler, Karras' sigmas", guided(cfg_guider)),
    row(
        "SamplerCustomAdvanced, BasicGuider",
        "one prompt, no guidance",
        guided(basic_guider),
        proof=lambda p: calls(p) == {(0,)},
    ),
    row(
        "DualCFGGuider",
        "both prompts are steered, the negative one is not",
        guided(partial(dual_guider, style="regular")),
        proof=lambda p: {len(chunks) for chunks in calls(p)} == {3},
    ),
    row(
        "DualCFGGuider, nested",
        "the same in its other style",
        guided(partial(dual_guider, style="nested")),
        proof=lambda p: {len(chunks) for chunks in calls(p)} == {3},
    ),
    row(
        "DualCFGGuider and an area",
        "the second prompt has an area",
        guided(lambda model: dual_guider(model, "regular", combine(prompt(POSITIVE), area()))),
    ),
    row(
        "PerpNegGuider",
        "the prompt is steered; the negative and the empty one are not",
        guided(perp_neg),
        proof=lambda p: {len(chunks) for chunks in calls(p)} == {3},
    ),
    row(
        "Perp-Neg (the old node)",
        "its empty prompt comes in a call of its own, as chunk number 0",
        ksampler(),
        before=patch("nodes_perpneg.PerpNeg", empty_conditioning=prompt(EMPTY), neg_scale=1.0),
        proof=lambda p: calls(p) == {(1, 0), (0,)},
    ),
)
