"""Where: by a mask, by the words of the prompt, by a record; against the oracle that adds by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

WORDS = "a photo of a police officer"
IDS = {word: number for number, word in enumerate(WORDS.split(), start=1)}


class Clip:
    """Tokenises as the host's CLIP does, words to numbers: 49 begins, 50 ends and pads."""

    def tokenize(self, text):
        tokens = [49, *(IDS.get(word, 9) for word in text.split()), 50, 50]
        return {"l": [[(token, 1.0) for token in tokens]]}


@pytest.fixture
def where(run_node, model):
    """where(…) -> the MODEL that Where gives."""
    return lambda **given: run_node("RespoWhere", **{"model": model, "threshold": 0.3, **given})[0]


@pytest.fixture
def steered(run_node, model, module):
    return lambda **given: run_node("RespoApplyModule", **{"model": model, "module": module, **given})[0]


@pytest.fixture
def woman(attribute):
    return lambda place: attribute.concept("woman").delta(*place.size).detach()


@pytest.fixture
def recorded(run_node, model, prompt):
    """What Record Run gives for the run that `sample` makes."""
    run = {"seed": 5, "steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal"}
    latent = {"samples": torch.zeros(2, 4, 16, 16)}
    with torch.inference_mode():
        return run_node(
            "RespoRecordRun", model=model, **run, positive=prompt(1), negative=prompt(2), latent_image=latent
        )


def test_mask_limits_every_module_in_any_order(where, steered, sample, by_hand, model, woman):
    mask = torch.zeros(16, 16)
    mask[:, 8:] = 1
    with by_hand(model, lambda p: woman(p) * mask[None, ::4, ::4] if p.chunk == 0 else None) as expected:
        wanted = sample(expected)
    assert torch.equal(sample(where(model=steered(), mask=mask)), wanted)
    assert torch.equal(sample(steered(model=where(mask=mask))), wanted)
    assert torch.equal(sample(steered(mask=mask)), wanted)
    assert not torch.equal(sample(steered()), wanted)


def test_two_limits_are_both_kept(where, steered, sample):
    left, top = torch.zeros(16, 16), torch.zeros(16, 16)
    left[:, :8] = 1
    top[:8] = 1
    both = sample(steered(model=where(model=where(mask=left), mask=top)))
    assert torch.equal(both, sample(steered(mask=left * top)))


def heard_by_hand(network, seen):
    """Forward hooks that see what the cross-attention before the bottleneck sees, layer by layer."""

    def look(layer, arguments, keywords):
        n, context = arguments[0], keywords["context"]
        q, k = layer.to_q(n), layer.to_k(context)
        heads = layer.heads
        q, k = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k))
        seen.append((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).mean(1))

    blocks = [*network.input_blocks, network.middle_block]
    layers = [m for block in blocks for m in block.modules() if type(m).__name__ == "BasicTransformerBlock"]
    assert len(layers) == 3
    return [layer.attn2.register_forward_pre_hook(look, with_kwargs=True) for layer in layers]


def test_words_limit_by_the_same_steps_attention(where, steered, sample, by_hand, model, woman, pack):
    """The chosen words are at places 5 and 6 of the 7 that `prompt` has; the others at 1 to 4."""
    core, seen = pack.core, []

    def addition(place):
        if place.chunk != 0:
            return None
        layers = []
        for weights in seen[-3:]:
            rows = weights[len(weights) // 2 + place.image]  # the chunks of a call: [1, 0]
            share = rows[:, 5:7].sum(1) / (rows[:, 5:7].sum(1) + rows[:, 1:5].sum(1))
            side = round(len(share) ** 0.5)
            layers.append(core.grid.resize(share.reshape(1, side, side), *place.size))
        return woman(place) * core.region.subject(torch.stack(layers).mean(0)[None])[0]

    hooks = heard_by_hand(model.model.diffusion_model, seen)
    try:
        with by_hand(model, addition) as expected:
            wanted = sample(expected)
    finally:
        for hook in hooks:
            hook.remove()
    limited = where(model=steered(), words="police officer", clip=Clip(), prompt=WORDS)
    assert torch.allclose(sample(limited), wanted, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(sample(steered()), wanted, rtol=1e-2, atol=1e-1)
    assert torch.equal(
        sample(limited), sample(steered(model=where(words="police officer", clip=Clip(), prompt=WORDS)))
    )


def test_listening_takes_nobodys_slot(where, steered, model):
    limited = where(model=steered(), words="photo", clip=Clip(), prompt=WORDS)
    options = limited.model_options["transformer_options"]
    assert "patches_replace" not in options
    assert set(options["patches"]) == {"output_block_patch", "attn2_patch"}
    assert "model_function_wrapper" not in limited.model_options


def test_without_modules_nothing_changes(where, sample, model, recorded):
    plain = sample(model)
    assert torch.equal(sample(where(mask=torch.zeros(8, 8))), plain)
    assert torch.equal(sample(where(words="photo", clip=Clip(), prompt=WORDS)), plain)
    assert torch.equal(sample(where(record=recorded[1])), plain)
    assert where(enabled=False) is model


def test_record_keeps_what_hardly_changes(where, steered, sample, model, recorded, pack):
    """At a threshold far above the largest change all is as recorded, at one far below nothing is."""
    plain, changed = sample(model), sample(steered())
    keep = pack.core.region.changed
    ratios = []
    for threshold in (0.0, 0.3, 0.6, 0.9):
        result = sample(where(model=steered(), record=recorded[1], threshold=threshold))
        ratios.append(((result - plain).norm() / (changed - plain).norm()).item())
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 0.9
    assert ratios[-1] < 0.5 * ratios[0]
    assert keep(plain, plain, 0.3).max() == 0


def test_record_goes_with_background_in_any_order(where, steered, run_node, sample, recorded):
    def background(model):
        return run_node("RespoBackground", model=model, record=recorded[1], strength=0.2)[0]

    one = sample(background(where(model=steered(), record=recorded[1])))
    two = sample(where(model=background(steered()), record=recorded[1]))
    assert torch.equal(one, two)


def test_record_of_another_run_is_refused(where, steered, sample, recorded, pack):
    held = where(model=steered(), record=recorded[1])
    with pytest.raises(pack.core.errors.RespoError, match="latents of"):
        sample(held, count=3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "mask"),
        ({"words": "robot", "clip": Clip(), "prompt": WORDS}, "none of them is in the prompt"),
        ({"words": WORDS, "clip": Clip(), "prompt": WORDS}, "whole prompt"),
        ({"words": "photo"}, "clip and prompt"),
        ({"words": "photo", "clip": Clip(), "prompt": " "}, "clip and prompt"),
        ({"mask": torch.ones(2, 2), "threshold": float("nan")}, "threshold"),
        ({"mask": torch.full((2, 2), float("nan"))}, "mask"),
        ({"mask": torch.ones(1, 1, 2, 2)}, "mask"),
    ],
)
def test_errors(where, pack, given, words):
    with pytest.raises(pack.core.errors.RespoError, match=words):
        where(**given)


def test_a_model_without_a_middle_block(where, pack):
    flux = SimpleNamespace(model=SimpleNamespace(model_config=SimpleNamespace(unet_config={"image_model": "flux"})))
    with pytest.raises(pack.core.errors.RespoError, match="flux"):
        where(model=flux, mask=torch.ones(2, 2))
