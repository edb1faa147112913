"""Background, bit for bit, against patches by hand; and the runs that a record is refused for."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

SAMPLERS = ["euler", "heun", "dpm_2", "dpmpp_2m", "dpmpp_sde", "uni_pc", "lcm"]


@pytest.fixture(scope="module")
def settings(prompt):
    """settings(…) -> what Record Run and the host's KSampler are both told: two small pictures in four steps."""

    def give(sampler="euler", cfg=3.0, steps=4, seed=5, size=(2, 4, 16, 16), denoise=1.0, positive=None):
        latent = {"samples": torch.zeros(size)}
        words = {"positive": positive or prompt(1), "negative": prompt(2)}
        numbers = {"seed": seed, "steps": steps, "cfg": cfg, "scheduler": "normal", "denoise": denoise}
        return {**numbers, "sampler_name": sampler, **words, "latent_image": latent}

    return give


@pytest.fixture(scope="module")
def record(run_node, model, settings):
    """record(…) -> the record of a run of `settings`, of the plain model unless told otherwise."""

    def run(model=model, **given):
        with torch.inference_mode():
            return run_node("RespoRecordRun", model=model, **settings(**given))[1]

    return run


@pytest.fixture(scope="module")
def draw(host, settings):
    """draw(model, …) -> latents of a run of `settings`, by the host's KSampler."""

    def run(model, **given):
        values = settings(**given)
        latent = values.pop("latent_image")
        with torch.inference_mode():
            return host.nodes.common_ksampler(model, **values, latent=latent)[0]["samples"]

    return run


@pytest.fixture(scope="module")
def background(run_node, model):
    """background(…) -> the MODEL that Background gives."""
    return lambda **given: run_node("RespoBackground", **{"model": model, **given})[0]


@pytest.fixture(scope="module")
def apply(run_node, model, module):
    """apply(…) -> the MODEL that Apply Module gives."""
    return lambda **given: run_node("RespoApplyModule", **{"model": model, "module": module, **given})[0]


def blocks(h):
    """The means of 2 x 2 blocks, an odd last row or column doubled, each repeated: level 1 by hand."""
    height, width = h.shape[2:]
    even = functional.pad(h, (0, width % 2, 0, height % 2), mode="replicate")
    return functional.avg_pool2d(even, 2)


def repeated(means, like):
    """Fill each block with its mean."""
    return functional.interpolate(means, scale_factor=2, mode="nearest")[..., : like.shape[2], : like.shape[3]]


def patched(model, change):
    """`model` with change(number of the U-Net's call, the host's number of the chunk, its h) added by hand."""
    clone, calls = model.clone(), []

    def patch(h, hsp, options):
        if options["block"] == ("output", 0):
            calls.append(None)
            numbers = options["cond_or_uncond"]
            added = [change(len(calls) - 1, n, part) for n, part in zip(numbers, h.chunk(len(numbers)), strict=True)]
            h = torch.cat([p if a is None else p + a for p, a in zip(h.chunk(len(numbers)), added, strict=True)])
        return h, hsp

    clone.set_model_output_block_patch(patch)
    return clone


def heard(model, draw, **given):
    """{(number of the U-Net's call, number of the chunk): its h} of a run of `model`."""
    found = {}
    draw(patched(model, lambda call, chunk, h: found.update({(call, chunk): h.clone()})), **given)
    return found


def from_record(found, strength=0.35, chunks=(0,)):
    """What the recorded `found` adds, as the record keeps it: in half precision."""

    def change(call, chunk, h):
        return strength * repeated(blocks(found[call, chunk]).half().float(), h) if chunk in chunks else None

    return change


@pytest.mark.parametrize("size", [(2, 4, 16, 16), (1, 4, 20, 28), (3, 4, 24, 18)])
def test_own_low_band(background, draw, model, size):
    by_hand = patched(model, lambda call, chunk, h: 0.35 * repeated(blocks(h), h) if chunk == 0 else None)
    wanted = draw(by_hand, size=size)
    assert torch.equal(draw(background(strength=0.35, guidance="conditional"), size=size), wanted)
    assert not torch.equal(draw(model, size=size), wanted)


def test_both_halves_and_two_levels(background, draw, model):
    """At a latent of 16 x 16 h is 4 x 4: the second level is the mean of all."""
    by_hand = patched(model, lambda call, chunk, h: 0.5 * blocks(blocks(h)).expand_as(h))
    wanted = draw(by_hand)
    torch.testing.assert_close(draw(background(strength=0.5, levels=2, guidance="both")), wanted)
    assert not torch.allclose(draw(background(strength=0.5, guidance="both")), wanted)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_recorded_low_band(apply, background, record, draw, model, attribute, sampler):
    """Call by call, those at one sigma told apart; the second run is another one: a module acts in it."""
    band = from_record(heard(model, draw, sampler=sampler))
    woman = attribute.concept("woman").delta(4, 4).detach()
    by_hand = patched(model, lambda call, chunk, h: band(call, chunk, h) + woman if chunk == 0 else None)
    given = {"model": apply(), "strength": 0.35, "guidance": "conditional"}
    wanted = draw(by_hand, sampler=sampler)
    assert torch.equal(draw(background(record=record(sampler=sampler), **given), sampler=sampler), wanted)
    assert not torch.equal(draw(background(**given), sampler=sampler), wanted)


def test_recorded_alone_is_exact(background, record, draw, model):
    given = {"size": (3, 4, 24, 18)}
    wanted = draw(patched(model, from_record(heard(model, draw, **given), chunks=(0, 1))), **given)
    assert torch.equal(draw(background(record=record(**given), strength=0.35, guidance="both"), **given), wanted)


def test_several_prompts_and_areas(background, record, draw, model, prompt):
    """The U-Net's calls come in the same order in both runs, so that their numbers tell the prompts apart."""
    regional = prompt(1) + prompt(3, area=(12, 8, 4, 0), strength=1.0, set_area_to_bounds=False)
    given = {"positive": regional, "size": (2, 4, 24, 18)}
    found = heard(model, draw, **given)
    assert {tuple(h.shape[2:]) for h in found.values()} == {(6, 5), (3, 2)}
    wanted = draw(patched(model, from_record(found)), **given)
    assert torch.equal(draw(background(record=record(**given), guidance="conditional"), **given), wanted)


def test_two_prompts_in_one_call(background, record, draw, model, prompt):
    given = {"positive": prompt(1) + prompt(3)}
    first, both = record(), record(**given)
    sigma = both.run.sigmas[0]
    assert set(both.call(sigma).bands) == {("positive", 0), ("positive", 1), ("negative", 0)}
    torch.testing.assert_close(both.call(sigma).band("positive", 0).means, first.call(sigma).band("positive", 0).means)
    assert not torch.equal(both.call(sigma).band("positive", 1).means, both.call(sigma).band("positive", 0).means)
    assert not torch.equal(draw(background(record=both), **given), draw(model, **given))


def test_low_memory(background, record, draw, model, monkeypatch):
    """Where the host computes one prompt at a time, the record is the same but for rounding."""
    whole, wanted = record(), draw(background(record=record()))
    monkeypatch.setattr(model.model, "memory_required", lambda *_, **__: float("inf"))
    split = record()
    for key, call in whole.calls.items():
        assert split.call(*key).bands.keys() == call.bands.keys()
        torch.testing.assert_close(split.call(*key).denoised, call.denoised, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(draw(background(record=split)), wanted, rtol=1e-3, atol=1e-3)


def test_off_is_the_same_model(background, record, model):
    kept = record()
    for off in ({"strength": 0.0}, {"enabled": False}, {"start_percent": 0.5, "end_percent": 0.5}):
        assert background(**off) is model
        assert background(record=kept, **off) is model


def test_order_of_nodes_does_not_change_a_bit(apply, background, record, draw):
    kept = record()
    one = background(model=apply(model=background(record=kept)), strength=0.2)
    two = apply(model=background(model=background(strength=0.2), record=kept))
    three = background(model=background(model=apply(), strength=0.2), record=kept)
    wanted = draw(one)
    assert torch.equal(draw(two), wanted)
    assert torch.equal(draw(three), wanted)


def test_range_acts_only_between_its_sigmas(background, draw, model):
    sigmas = model.get_model_object("model_sampling")
    high, low = (sigmas.percent_to_sigma(percent) for percent in (0.25, 0.75))
    first = [low < sigma <= high for sigma in steps_of(background, draw)]
    assert set(first) == {True, False}
    by_hand = patched(model, lambda n, chunk, h: 0.35 * repeated(blocks(h), h) if first[n] and chunk == 0 else None)
    ranged = background(strength=0.35, start_percent=0.25, end_percent=0.75, guidance="conditional")
    assert torch.equal(draw(ranged), draw(by_hand))


def steps_of(background, draw):
    """The sigmas of the U-Net's calls."""
    seen, clone = [], background().clone()

    def look(h, hsp, options):
        if options["block"] == ("output", 0):
            seen.append(float(options["sigmas"][0]))
        return h, hsp

    clone.set_model_output_block_patch(look)
    draw(clone)
    return seen


def test_a_run_changes_no_record_and_leaks_nowhere(apply, background, record, draw, model, host):
    plain, kept = draw(model), record()
    before = copy.deepcopy(kept.calls)
    steered = background(model=apply(), record=kept)
    first = draw(steered)
    (freeu,) = host.freeu(steered, 1.3, 1.4, 0.9, 0.2)  # writes in place what it is given
    draw(freeu)
    assert torch.equal(draw(steered), first)
    assert torch.equal(draw(model), plain)
    for key, call in before.items():
        assert torch.equal(kept.call(*key).denoised, call.denoised)
        for name, band in call.bands.items():
            assert torch.equal(kept.call(*key).bands[name].means, band.means)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(background, record, draw, make_model, dtype):
    small = make_model(dtype=dtype)
    kept = record(model=small)
    found = heard(small, draw)
    wanted = patched(
        small, lambda n, c, h: (0.35 * repeated(blocks(found[n, c].float()), h)).to(dtype) if c == 0 else None
    )
    result = draw(background(model=small, record=kept, strength=0.35, guidance="conditional"))
    assert torch.isfinite(result).all()
    torch.testing.assert_close(result, draw(wanted), rtol=0.05, atol=0.05)


def test_two_samplers_in_a_row(background, record, draw, host, settings):
    """A part of the recorded schedule will do: KSampler Advanced, handing over a picture in the making."""
    kept = record()
    wanted = draw(background(record=kept))
    values = settings()
    latent, seed = values.pop("latent_image"), values.pop("seed")
    del values["denoise"]
    model, sampler = background(record=kept), host.nodes.KSamplerAdvanced()
    shared = {**values, "noise_seed": seed, "model": model}
    with torch.inference_mode():
        first = sampler.sample(
            add_noise="enable",
            latent_image=latent,
            start_at_step=0,
            end_at_step=2,
            return_with_leftover_noise="enable",
            **shared,
        )[0]
        second = sampler.sample(
            add_noise="disable",
            latent_image=first,
            start_at_step=2,
            end_at_step=99,
            return_with_leftover_noise="disable",
            **shared,
        )[0]
    torch.testing.assert_close(second["samples"], wanted, rtol=1e-3, atol=1e-4)


REFUSED = {
    "steps": ({}, {"steps": 5}, "no step at sigma"),
    "denoise": ({}, {"denoise": 0.5}, "no step at sigma"),
    "batch": ({}, {"size": (3, 4, 16, 16)}, r"latents of \[2, 4, 16, 16\].*\[3, 4, 16, 16\]"),
    "seed": ({}, {"seed": 6}, "another seed"),
    "new noise on a picture of its own": ({}, {"steps": 2, "denoise": 0.5}, r"another picture.*Detailers"),
    "half": ({"cfg": 1.0}, {}, "negative prompt.*cfg"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_run_is_refused_before_its_first_step(background, record, draw, model, pack, case):
    recorded, drawn, words = REFUSED[case]
    calls = []
    counted = patched(model, lambda call, chunk, h: calls.append(call))
    steered = background(model=counted, record=record(**recorded), guidance="both")
    with pytest.raises(pack.core.errors.RespoError, match=words):
        draw(steered, **drawn)
    assert calls == []


def test_cfg_1_will_do_for_the_conditional_half(background, record, draw):
    kept = record(cfg=1.0)
    assert not torch.equal(draw(background(record=kept, guidance="conditional")), draw(background(strength=0.0)))
    draw(background(record=kept, guidance="both"), cfg=1.0)


def test_another_model_is_refused(background, record, draw, model, make_model, pack):
    kept, refused = record(), pytest.raises(pack.core.errors.RespoError, match="another model")
    with refused:
        draw(background(model=make_model(seed=1), record=kept))
    again = make_model()
    assert again.patches_uuid != model.patches_uuid  # as when the host's cache had to load a checkpoint again
    assert torch.equal(draw(background(model=again, record=kept)), draw(background(record=kept)))


def test_another_lora_is_refused(background, record, draw, model, pack):
    key = "diffusion_model.middle_block.0.out_layers.3.weight"
    shape = model.get_model_object(key).shape

    def with_lora(value, strength=1.0):
        clone = model.clone()
        clone.add_patches({key: (torch.full(shape, value),)}, strength)
        return clone

    kept = record(model=with_lora(0.01))
    wanted = draw(background(model=with_lora(0.01), record=kept))
    assert torch.equal(draw(background(model=with_lora(0.01), record=kept)), wanted)
    for other in (model, with_lora(0.02), with_lora(0.01, 0.5)):
        with pytest.raises(pack.core.errors.RespoError, match="other LoRAs"):
            draw(background(model=other, record=kept))


def test_calls_and_prompts_that_were_not_recorded(background, record, draw, pack, prompt):
    kept = record()
    with pytest.raises(pack.core.errors.RespoError, match="same sampler"):
        draw(background(record=kept), sampler="heun")
    with pytest.raises(pack.core.errors.RespoError, match="positive prompt 2"):
        draw(background(record=kept), positive=prompt(1) + prompt(3))


@pytest.mark.parametrize("strength", [float("nan"), float("inf")])
def test_strength_is_a_number(background, pack, strength):
    with pytest.raises(pack.core.errors.RespoError, match="strength"):
        background(strength=strength)
