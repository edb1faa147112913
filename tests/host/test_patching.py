"""What the nodes do to a picture, bit for bit, against an oracle that adds the module to h by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch

UNIFORM = {"woman": Fraction(1, 2), "man": Fraction(1, 2)}


@pytest.fixture
def apply(run_node, model, module):
    """apply(…) -> the MODEL that Apply Module gives."""
    return lambda **given: run_node("RespoApplyModule", **{"model": model, "module": module, **given})[0]


@pytest.fixture
def balance(run_node, model, module):
    """balance(…) -> the MODEL that Balance gives."""
    return lambda **given: run_node("RespoBalance", **{"model": model, "module": module, **given})[0]


@pytest.fixture
def woman(attribute):
    """woman(place, strength, fidelity) -> what has to be added there, `[C, H, W]`."""
    return lambda place, **knobs: attribute.concept("woman").delta(*place.size, **knobs).detach()


def test_conditional_half_gets_the_delta(apply, sample, by_hand, model, woman):
    with by_hand(model, lambda p: woman(p, strength=0.5, fidelity=0.8) if p.chunk == 0 else None) as expected:
        wanted = sample(expected)
    assert torch.equal(sample(apply(strength=0.5, fidelity=0.8)), wanted)
    assert not torch.equal(sample(model), wanted)


def test_both_halves_get_the_delta(apply, sample, by_hand, model, woman):
    with by_hand(model, woman) as expected:
        wanted = sample(expected)
    assert torch.equal(sample(apply(guidance="both")), wanted)
    assert not torch.equal(sample(apply()), wanted)


def test_chosen_concept(apply, sample, by_hand, model, attribute):
    man = attribute.concept("man")
    with by_hand(model, lambda p: man.delta(*p.size).detach() if p.chunk == 0 else None) as expected:
        wanted = sample(expected)
    assert torch.equal(sample(apply(concept="man")), wanted)


def test_cfg_1(apply, sample, by_hand, model, woman):
    with by_hand(model, lambda p: woman(p) if p.chunk == 0 else None) as expected:
        wanted = sample(expected, cfg=1.0)
    assert torch.equal(sample(apply(), cfg=1.0), wanted)


def test_two_prompts(balance, sample, by_hand, model, attribute, pack, prompt):
    both = prompt(1) + prompt(3)
    labels = pack.core.counting.balance.assign(11, 3, UNIFORM)

    def addition(place):
        return attribute.concept(labels[place.image]).delta(*place.size).detach() if place.chunk == 0 else None

    with by_hand(model, addition) as expected:
        wanted = sample(expected, positive=both, count=3)
    assert torch.equal(sample(balance(seed=11), positive=both, count=3), wanted)


def test_area_prompt_and_odd_sizes(apply, sample, by_hand, model, woman, prompt):
    regional = prompt(1) + prompt(3, area=(12, 8, 4, 0), strength=1.0, set_area_to_bounds=False)
    sizes = set()

    def addition(place):
        sizes.add(place.size)
        return woman(place) if place.chunk == 0 else None

    with by_hand(model, addition) as expected:
        wanted = sample(expected, positive=regional, size=(24, 18))
    assert torch.equal(sample(apply(), positive=regional, size=(24, 18)), wanted)
    assert sizes == {(6, 5), (3, 2)}


def test_a_map_of_h_reads_every_picture(run_node, sample, by_hand, model, attribute, pack):
    """What it adds hangs on h as it comes, whatever other modules add beside it."""
    core, mapped = pack.core, {}
    for name, module in attribute.concepts.items():
        own = core.module.h_map.HMap(module.channels, 3)
        for parameter in own.parameters():
            parameter.data.normal_(generator=torch.Generator().manual_seed(5))
        mapped[name] = core.module.concept.ConceptModule.from_parts(module.responsible, module.semantic, own)
    loaded = pack.root.nodes.shared.wire.LoadedModule(
        replace(attribute, concepts=mapped), "mapped.safetensors", "1" * 64
    )

    def addition(place):
        if place.chunk:
            return None
        h = place.h[:, : mapped["man"].channels]  # the first output block gets h and a skip
        strengths = {"man": 0.3, "woman": 1.0}
        return sum(mapped[name].change(h, strength).detach()[0] for name, strength in strengths.items())

    changed = run_node("RespoApplyModule", model=model, module=loaded, concept="man", strength=0.3)[0]
    changed = run_node("RespoApplyModule", model=changed, module=loaded, concept="woman")[0]
    with by_hand(model, addition) as expected:
        wanted = sample(expected, count=2)
    found = sample(changed, count=2)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, sample(model, count=2), rtol=1e-2, atol=1e-2)
    off = run_node("RespoApplyModule", model=model, module=loaded, concept="man", strength=0.0)[0]
    assert torch.equal(sample(off, count=2), sample(model, count=2))


def test_mask_says_where(apply, sample, by_hand, model, woman):
    mask = torch.zeros(1, 8, 8)
    mask[:, :, 4:] = 1
    h_mask = mask[:, ::2, ::2]  # h is 4 x 4 for a latent of 16 x 16
    with by_hand(model, lambda p: woman(p) * h_mask if p.chunk == 0 else None) as expected:
        wanted = sample(expected)
    assert torch.equal(sample(apply(mask=mask)), wanted)
    assert torch.equal(sample(apply(mask=torch.ones(64, 64))), sample(apply()))
    assert not torch.equal(wanted, sample(apply()))


def test_mask_follows_an_area_prompt(apply, sample, by_hand, model, woman, prompt):
    """White in the lower right quarter, the area is the lower half: there the mask is white on the right."""
    area = (8, 16, 8, 0)  # height, width, y, x
    regional = prompt(1, area=area, strength=1.0, set_area_to_bounds=False)
    mask = torch.zeros(1, 16, 16)
    mask[:, 8:, 8:] = 1

    def addition(place):
        columns = torch.tensor([0.0, 0.0, 1.0, 1.0]) if place.size == (2, 4) else mask[0, 1::4, 1::4]
        return woman(place) * columns if place.chunk == 0 else None

    with by_hand(model, addition) as expected:
        wanted = sample(expected, positive=regional)
    assert torch.equal(sample(apply(mask=mask), positive=regional), wanted)


def test_one_mask_for_each_image(apply, sample, by_hand, model, woman):
    masks = torch.stack([torch.ones(4, 4), torch.zeros(4, 4)])
    with by_hand(model, lambda p: woman(p) if p.chunk == 0 and p.image % 2 == 0 else None) as expected:
        wanted = sample(expected, count=3)
    assert torch.equal(sample(apply(mask=masks), count=3), wanted)


def test_negative_strength(apply, pack, module, sample):
    assert not torch.equal(sample(apply(strength=-1.0)), sample(apply(strength=1.0)))
    safety = replace(module, attribute=replace(module.attribute, purpose="safety"))
    with pytest.raises(pack.core.errors.RespoError, match="brings"):
        apply(module=safety, strength=-0.1)


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_balance_gives_each_image_its_concept(balance, sample, by_hand, model, attribute, pack, seed):
    labels = pack.core.counting.balance.assign(seed, 4, UNIFORM)
    assert set(labels) == {"woman", "man"}

    def addition(place):
        return attribute.concept(labels[place.image]).delta(*place.size).detach() if place.chunk == 0 else None

    with by_hand(model, addition) as expected:
        wanted = sample(expected, count=4)
    assert torch.equal(sample(balance(seed=seed), count=4), wanted)


def test_range_acts_only_between_its_sigmas(apply, sample, by_hand, model, woman):
    high, low = (model.get_model_object("model_sampling").percent_to_sigma(p) for p in (0.25, 0.75))
    seen = []

    def addition(place):
        seen.append(low < place.sigma <= high)
        return woman(place) if seen[-1] and place.chunk == 0 else None

    with by_hand(model, addition) as expected:
        wanted = sample(expected)
    assert set(seen) == {True, False}
    assert torch.equal(sample(apply(start_percent=0.25, end_percent=0.75)), wanted)


def test_two_ranges_that_meet_are_one(apply, sample, model):
    halves = apply(model=apply(end_percent=0.5), start_percent=0.5)
    assert torch.equal(sample(halves), sample(apply()))
    border = model.get_model_object("model_sampling").percent_to_sigma(0.5)
    options = {"block": ("output", 0), "cond_or_uncond": [0], "sigmas": torch.tensor([border])}
    h = torch.zeros(1, 128, 4, 4)
    assert torch.equal(patch_of(halves)(h, None, options)[0], patch_of(apply())(h, None, options)[0])


def test_off_is_the_same_model(apply, balance, model):
    empty = {"start_percent": 0.5, "end_percent": 0.5}
    for off in ({"strength": 0.0}, {"enabled": False}, empty):
        assert apply(**off) is model
        assert balance(**off) is model


def test_balance_tells_its_labels(run_node, model, module, pack):
    labels = run_node("RespoBalance", model=model, module=module, seed=3, count=6)[1]
    assert labels.split("\n") == pack.core.counting.balance.assign(3, 6, UNIFORM)
    all_men = run_node("RespoBalance", model=model, module=module, seed=3, count=2, distribution="man 1, woman 0")[1]
    assert all_men == "man\nman"
    assert run_node("RespoBalance", model=model, module=module, enabled=False)[1] == ""


def test_patched_clone_does_not_leak(apply, balance, sample, model):
    before = sample(model)
    first, second = apply(), balance()
    a, b = sample(first), sample(second)
    later = apply(model=first, concept="man")
    sample(later)
    assert torch.equal(sample(model), before)
    assert torch.equal(sample(first), a)
    assert torch.equal(sample(second), b)


def test_order_of_respo_nodes_does_not_change_a_bit(apply, balance, sample):
    # Three summands: float addition is not associative, so an unsorted sum would show.
    one = apply(model=balance(model=apply(strength=0.7), seed=3), concept="man", strength=-0.3, end_percent=0.6)
    two = balance(model=apply(model=apply(strength=0.7), concept="man", strength=-0.3, end_percent=0.6), seed=3)
    three = apply(model=apply(model=balance(seed=3), concept="man", strength=-0.3, end_percent=0.6), strength=0.7)
    wanted = sample(one)
    assert torch.equal(sample(two), wanted)
    assert torch.equal(sample(three), wanted)
    assert len(patches_of(three)) == 1


def test_only_neighbours_share_a_patch(apply, host, model):
    (freeu,) = host.freeu(model, 1.3, 1.4, 0.9, 0.2)
    assert len(patches_of(apply(model=apply(model=freeu)))) == 2
    (between,) = host.freeu(apply(), 1.3, 1.4, 0.9, 0.2)
    assert len(patches_of(apply(model=between))) == 3


def test_a_limit_reaches_modules_on_the_other_side_of_freeu(apply, run_node, sample, model, host):
    def freeu(on):
        return host.freeu(on, 1.3, 1.4, 0.9, 0.2)[0]

    def nowhere(on):
        return run_node("RespoWhere", model=on, mask=torch.zeros(1, 16, 16))[0]

    wanted = sample(freeu(model))
    assert torch.equal(sample(nowhere(freeu(apply()))), wanted)
    assert torch.equal(sample(apply(model=freeu(nowhere(model)))), wanted)
    assert torch.equal(sample(nowhere(apply(model=freeu(apply())))), wanted)


def test_a_limit_is_not_counted_twice(apply, run_node, sample, model, host):
    """A soft mask on both sides of FreeU: once for each module, not once for each patch that it reaches."""
    half = torch.full((1, 16, 16), 0.5)

    def freeu(on):
        return host.freeu(on, 1.0, 1.0, 1.0, 1.0)[0]

    between = apply(model=freeu(run_node("RespoWhere", model=apply(), mask=half)[0]), strength=0.5)
    single = apply(model=freeu(apply(strength=0.5)), strength=0.25)
    assert torch.allclose(sample(between), sample(single), atol=1e-6)


def test_freeu_keeps_its_place_in_the_graph(apply, sample, by_hand, model, woman, host):
    (freeu,) = host.freeu(model, 1.3, 1.4, 0.9, 0.2)
    with by_hand(freeu, lambda p: woman(p) if p.chunk == 0 else None) as expected:
        freeu_first = sample(expected)
    assert torch.equal(sample(apply(model=freeu)), freeu_first)

    plain = model.clone()
    plain.set_model_output_block_patch(add_to_second_chunk(woman))
    (wanted,) = host.freeu(plain, 1.3, 1.4, 0.9, 0.2)
    (freeu_last,) = host.freeu(apply(), 1.3, 1.4, 0.9, 0.2)
    result = sample(freeu_last)
    assert torch.equal(result, sample(wanted))
    assert torch.equal(sample(freeu_last), result)  # FreeU writes in place: what we keep must not be what it gets
    assert not torch.equal(result, freeu_first)


def add_to_second_chunk(woman):
    """A patch as simple as can be, for a batch of the chunks [1, 0]."""

    def patch(h, hsp, options):
        if options["block"] != ("output", 0):
            return h, hsp
        assert options["cond_or_uncond"] == [1, 0]
        uncond, cond = h.chunk(2)
        return torch.cat([uncond, cond + woman(SimpleNamespace(size=h.shape[2:]))]), hsp

    return patch


def patches_of(patched):
    """The functions that the host will call."""
    return patched.model_options["transformer_options"]["patches"]["output_block_patch"]


def patch_of(patched):
    """The last of them."""
    return patches_of(patched)[-1]


def test_patch_alone(apply, balance, woman):
    h = torch.randn(4, 128, 4, 4)
    copy = h.clone()
    options = {"block": ("output", 0), "cond_or_uncond": [1, 0], "sigmas": torch.tensor([14.0, 0.1])}
    ranged = patch_of(apply(end_percent=0.5))
    result, skip = ranged(h, None, options)
    delta = woman(SimpleNamespace(size=(4, 4)))
    assert skip is None
    assert torch.equal(result, torch.cat([h[:2], h[2:3] + delta, h[3:]]))  # of two images, one is past the range
    assert torch.equal(h, copy)
    for other in (("output", 1), ("input", 0), ("middle", 0)):
        assert ranged(h, None, {**options, "block": other})[0] is h


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(balance, attribute, pack, dtype):
    h = torch.randn(4, 128, 4, 4).to(dtype)
    options = {"block": ("output", 0), "cond_or_uncond": [0, 1], "sigmas": torch.ones(2)}
    labels = pack.core.counting.balance.assign(0, 2, UNIFORM)
    deltas = torch.stack([attribute.concept(label).delta(4, 4) for label in labels]).to(dtype)
    result = patch_of(balance())(h, None, options)[0]
    assert result.dtype == dtype
    assert torch.equal(result, torch.cat([h[:2] + deltas, h[2:]]))


def test_same_bytes_again(balance, sample):
    patched = balance(seed=4)
    assert torch.equal(sample(patched, count=3), sample(patched, count=3))
    assert torch.equal(sample(patched, size=(24, 16)), sample(balance(seed=4), size=(24, 16)))
