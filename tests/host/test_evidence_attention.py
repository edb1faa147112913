"""The evidence's EquiSteer nodes in the real host, on Emoji World."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from benchmarks.evidence.asks import GENDER
from benchmarks.evidence.attention import calibration, pairs
from benchmarks.evidence.server_nodes import equisteer

RUN = {"steps": 3, "cfg": 3.0, "sampler_name": "ddim", "scheduler": "ddim_uniform"}
WANTED = "woman\nman\nman"


@pytest.fixture(scope="module")
def known(unet):
    """What the node computes, from a sixth of the contrasts."""
    fewer = {name: (stated[::6], other[::6]) for name, (stated, other) in pairs(GENDER).items()}
    texts = {"pairs": json.dumps(fewer), "calibration": json.dumps(calibration(GENDER))}
    with torch.inference_mode():
        return equisteer.EquiSteerVectors().compute(unet._patcher, unet._clip, **texts, **RUN)[0]


@pytest.fixture(scope="module")
def drawn(host, unet):
    """A function that draws three pictures of a prompt by a model: latents."""
    import comfy.sample

    def draw(model, prompt: str) -> torch.Tensor:
        clip, latent = unet._clip, torch.zeros(3, 4, 16, 16)
        both = {
            side: [[clip.encode_from_tokens(clip.tokenize(text)), {}]]
            for side, text in (("positive", prompt), ("negative", ""))
        }
        noise = comfy.sample.prepare_noise(latent, 5_000_042)
        with torch.inference_mode():
            return comfy.sample.sample(model, noise, latent_image=latent, seed=0, disable_pbar=True, **both, **RUN)

    return draw


def steered(unet, known, **changes: float):
    settings = {"strength": 1.0, "gate": 1.0, "until": 1.0, **changes}
    return equisteer.EquiSteer().apply(unet._patcher, known, WANTED, **settings)[0]


def test_the_gate_leaves_an_explicit_prompt_alone_and_opens_for_a_neutral_one(unet, known, drawn):
    model = steered(unet, known)
    for prompt, alone in (("a photo of a woman doctor", True), ("a photo of a doctor", False)):
        before, after = drawn(unet._patcher, prompt), drawn(model, prompt)
        assert [before[row].equal(after[row]) for row in range(3)] == [alone] * 3


def test_closed_is_bit_for_bit_and_without_wishes_it_is_the_same_model(unet, known, drawn):
    prompt = "a photo of a doctor"
    assert drawn(steered(unet, known, gate=-100.0), prompt).equal(drawn(unet._patcher, prompt))
    assert equisteer.EquiSteer().apply(unet._patcher, known, "", strength=1.0)[0] is unet._patcher


def test_only_the_conditional_half_is_steered(unet, known):
    seen: list[SimpleNamespace] = []

    def change(output: torch.Tensor, layer: equisteer.Layer, step: int) -> torch.Tensor:
        seen.append(SimpleNamespace(shape=output.shape, layer=layer, step=step))
        return output + 1

    model = equisteer.patched(unet._patcher, change)
    (patch,) = model.model_options["transformer_options"]["patches"]["attn2_output_patch"]
    options = {
        "sample_sigmas": torch.tensor([9.0, 4.0, 0.0]),
        "sigmas": torch.tensor([4.0, 4.0, 4.0, 4.0]),
        "block": ("middle", 0),
        "block_index": 1,
        "cond_or_uncond": [1, 0],
    }
    found = patch(torch.zeros(4, 5, 6), options)
    assert found[:2].eq(0).all()
    assert found[2:].eq(1).all()
    assert [(tuple(one.shape), one.layer, one.step) for one in seen] == [((2, 5, 6), ("middle", 0, 1), 1)]
