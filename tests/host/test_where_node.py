"""Where: by a mask, by the words of the prompt, with neither; against the oracle that adds by hand."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from compatibility.conditioning import area, combine
from compatibility.row import NEGATIVE, POSITIVE, SECOND, ksampler, latent, patch, prompt, prompt_of
from compatibility.sampling import little_memory

ALL = torch.ones(4, 4)
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
        seen.append(((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).mean(1), context))

    blocks = [*network.input_blocks, network.middle_block]
    layers = [m for block in blocks for m in block.modules() if type(m).__name__ == "BasicTransformerBlock"]
    assert len(layers) == 3
    return [layer.attn2.register_forward_pre_hook(look, with_kwargs=True) for layer in layers]


def with_another_in_a_part():
    """The prompt, and a second one that is heard in a part of the picture."""
    return combine(prompt(POSITIVE), area())


RUNS = {
    "two pictures": ksampler(),
    "three wide ones": ksampler(latent=latent(3, 16, 24)),
    "cfg 1": ksampler(cfg=1.0),
    "two prompts": ksampler(positive=partial(combine, prompt(POSITIVE), prompt(SECOND))),
    "another prompt in a part": ksampler(positive=with_another_in_a_part),
    "little memory": little_memory,
}


@pytest.mark.parametrize("name", RUNS)
def test_words_limit_by_the_same_steps_attention(name, where, steered, by_hand, model, woman, pack):
    """The chosen words are at places 5 and 6 of the 7 that `prompt` has; the others at 1 to 4."""
    core, seen, run = pack.core, [], RUNS[name]

    def addition(place):
        if prompt_of(place.text) == NEGATIVE:
            return None
        layers = []
        for weights, context in seen[-3:]:
            rows = [own for own, heard in zip(weights, context, strict=True) if heard.equal(place.text)][place.image]
            share = rows[:, 5:7].sum(1) / (rows[:, 5:7].sum(1) + rows[:, 1:5].sum(1))
            height = round((len(share) * place.size[0] / place.size[1]) ** 0.5)
            layers.append(core.module.grid.resize(share.reshape(1, height, -1), *place.size))
        return woman(place) * core.pictures.region.subject(torch.stack(layers).mean(0)[None])[0]

    hooks = heard_by_hand(model.model.diffusion_model, seen)
    try:
        with by_hand(model, addition) as expected:
            wanted = run(expected)
    finally:
        for hook in hooks:
            hook.remove()
    limited = where(model=steered(), words="police officer", clip=Clip(), prompt=WORDS)
    assert torch.allclose(run(limited), wanted, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(run(steered()), wanted, rtol=1e-2, atol=1e-1)
    assert torch.equal(run(limited), run(steered(model=where(words="police officer", clip=Clip(), prompt=WORDS))))


def test_listens_before_the_bottleneck_only(where, steered, sample, pack, monkeypatch):
    regions, asked = pack.root.nodes.steering.regions, []
    weigh = regions.attention_to_words
    monkeypatch.setattr(regions, "attention_to_words", lambda *given: asked.append(1) or weigh(*given))
    sample(where(model=steered(), words="photo", clip=Clip(), prompt=WORDS))
    assert len(asked) == 3 * 4  # layers, steps


def test_mask_and_words_of_one_node_are_both_kept(where, steered, sample):
    left, words = torch.zeros(16, 16), {"words": "photo", "clip": Clip(), "prompt": WORDS}
    left[:, :8] = 1
    both = sample(where(model=steered(), mask=left, **words))
    assert torch.allclose(both, sample(where(model=where(model=steered(), mask=left), **words)))
    for alone in ({"mask": left}, words):
        assert not torch.allclose(both, sample(where(model=steered(), **alone)), atol=1e-2)


def test_mask_over_a_prompt_for_a_part_of_the_picture(where, steered):
    left = torch.zeros(16, 16)
    left[:, :6] = 1
    run = ksampler(positive=with_another_in_a_part)
    assert torch.equal(run(where(model=steered(), mask=left)), run(steered(mask=left)))


def test_words_where_layers_are_of_any_size(where, steered):
    """Deep Shrink makes the latent's 16 x 16 to 5 x 5 and 3 x 3, which no halving gives."""
    given = {"block_number": 3, "downscale_factor": 1.6, "start_percent": 0.0, "end_percent": 1.0}
    methods = {"downscale_method": "bilinear", "upscale_method": "bilinear", "downscale_after_skip": True}
    shrunk = patch("nodes_model_downscale.PatchModelAddDownscale", **given, **methods)
    limited = ksampler()(shrunk(where(model=steered(), words="photo", clip=Clip(), prompt=WORDS)))
    assert limited.isfinite().all()
    assert not torch.allclose(limited, ksampler()(shrunk(steered())), atol=1e-2)


def test_only_modules_are_limited(where, run_node, sample, model):
    background = run_node("RespoBackground", model=model, strength=0.3)[0]
    assert torch.equal(sample(where(model=background, mask=torch.zeros(8, 8))), sample(background))
    assert not torch.equal(sample(background), sample(model))


def test_words_that_the_model_is_not_given_limit_nothing(where, steered, sample):
    """The prompt's last word is at place 7, but the model hears 7 places, 0 to 6."""
    longer = f"{WORDS} a"
    assert torch.equal(
        sample(where(model=steered(), words="photo", clip=Clip(), prompt=longer)),
        sample(where(model=steered(), mask=ALL)),
    )


def test_nothing_is_heard_before_a_call_begins(pack):
    fresh, old = pack.root.nodes.steering.regions.fresh_word_attention, {"respo_shares": {"old": 1}, "block": 3}

    def apply(x, t, c_concat=None, c_crossattn=None, control=None, transformer_options=None, **others):
        return x, transformer_options, others

    apply.class_obj = SimpleNamespace(diffusion_model="the network")
    wanted = {"respo_shares": {}, "respo_network": "the network", "block": 3}
    assert fresh(apply, 1, 2, 3, 4, 5, old, more=6) == (1, wanted, {"more": 6})
    assert fresh(apply, 1, 2, transformer_options=old, more=6) == (1, wanted, {"more": 6})
    assert fresh(apply, 1, 2) == (1, None, {})
    assert old == {"respo_shares": {"old": 1}, "block": 3}


def test_reads_the_network_that_runs(where, steered, sample, make_model):
    """Hosts may sample with another copy of the model than the one that was patched."""
    words, other = {"words": "photo", "clip": Clip(), "prompt": WORDS}, make_model(seed=5)
    moved = where(model=steered(), **words).clone()
    moved.model = other.model
    assert torch.equal(sample(moved), sample(where(model=steered(model=other), **words)))


def test_finds_words_and_phrases(pack):
    places = pack.root.nodes.where.places
    for words in ("photo, police officer", " photo;officer,police ", "photo\npolice officer,"):
        found = places(Clip(), WORDS, words)
        assert (found.chosen, found.others) == ((2, 5, 6), (1, 3, 4))


def test_says_by_what_it_goes(pack):
    describe = pack.root.nodes.where.describe
    assert describe(True, " doctor ", True) == (
        "Modules act only: in the mask, where the picture attends to 'doctor', where the picture really changes"
    )
    assert describe(False, "", True).endswith("only: where the picture really changes")


def test_listening_takes_nobodys_slot(where, steered, model):
    limited = where(model=steered(), words="photo", clip=Clip(), prompt=WORDS)
    options = limited.model_options["transformer_options"]
    assert "patches_replace" not in options
    assert set(options["patches"]) == {"output_block_patch", "attn2_patch"}
    assert "model_function_wrapper" not in limited.model_options


def test_without_modules_nothing_changes(where, sample, model):
    plain = sample(model)
    assert torch.equal(sample(where(mask=torch.zeros(8, 8))), plain)
    assert torch.equal(sample(where(words="photo", clip=Clip(), prompt=WORDS)), plain)
    assert where(enabled=False) is model


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "mask"),
        ({"words": "robot", "clip": Clip(), "prompt": WORDS}, "none of them is in the prompt"),
        ({"words": WORDS, "clip": Clip(), "prompt": WORDS}, "whole prompt"),
        ({"words": "photo"}, "clip and prompt"),
        ({"words": "photo", "clip": Clip(), "prompt": " "}, "clip and prompt"),
        *(({"mask": torch.ones(2, 2), "threshold": t}, "threshold") for t in (float("nan"), -0.1, 1.1)),
        ({"mask": torch.full((2, 2), float("nan"))}, "mask"),
        ({"mask": torch.ones(1, 1, 2, 2)}, "mask"),
    ],
)
def test_errors(where, pack, given, words):
    with pytest.raises(pack.core.errors.RespoError, match=words):
        where(**given)


def test_a_model_without_a_middle_block(where, pack):
    config = SimpleNamespace(unet_config={"image_model": "wan2.1"})
    video = SimpleNamespace(
        model=SimpleNamespace(model_config=config),
        get_model_object=lambda _: torch.nn.Linear(1, 1),
        clone=lambda: video,
        model_options={},
    )
    with pytest.raises(pack.core.errors.RespoError, match=r"these transformers: Lumina 2.*This model is a Linear"):
        where(model=video, mask=torch.ones(2, 2))
