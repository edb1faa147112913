"""Apply Module with a mask: what it is with the other inputs, and masks that are none."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def apply(run_node, model, module):
    """apply(…) -> the MODEL that Apply Module gives."""
    return lambda **given: run_node("RespoApplyModule", **{"model": model, "module": module, **given})[0]


@pytest.fixture
def right():
    """White on the right half."""
    mask = torch.zeros(1, 16, 16)
    mask[:, :, 8:] = 1
    return mask


def columns(place):
    """The same at the size of h."""
    return torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(*place.size)


def test_strength_range_and_both_halves(apply, sample, by_hand, model, attribute, right):
    border = model.get_model_object("model_sampling").percent_to_sigma(0.5)
    man = attribute.concept("man")

    def addition(place):
        return man.delta(*place.size, strength=-0.5).detach() * columns(place) if place.sigma <= border else None

    with by_hand(model, addition) as expected:
        wanted = sample(expected)
    given = {"concept": "man", "strength": -0.5, "guidance": "both", "start_percent": 0.5}
    assert torch.equal(sample(apply(mask=right, **given)), wanted)
    assert not torch.equal(sample(apply(**given)), wanted)


def test_grey_is_in_between(apply, sample):
    grey = torch.full((1, 16, 16), 0.5)
    assert torch.equal(sample(apply(mask=grey)), sample(apply(strength=0.5)))


def test_black_adds_nothing(apply, sample, model):
    assert torch.equal(sample(apply(mask=torch.zeros(1, 8, 8))), sample(model))


@pytest.mark.parametrize("given", [{"enabled": False}, {"strength": 0.0}, {"start_percent": 1.0}])
def test_off_is_the_same_object(apply, model, right, given):
    assert apply(mask=right, **given) is model


def test_order_does_not_matter(apply, right, sample):
    one = apply(model=apply(mask=right), concept="man", mask=1 - right)
    other = apply(model=apply(concept="man", mask=1 - right), mask=right)
    assert torch.equal(sample(one), sample(other))
    assert not torch.equal(sample(one), sample(apply(mask=right)))


def test_mask_is_copied(apply, sample, right):
    mask = right.clone()
    patched = apply(mask=mask)
    before = sample(patched)
    mask.zero_()
    assert torch.equal(sample(patched), before)


@pytest.mark.parametrize(
    "mask", [torch.full((1, 8, 8), float("nan")), torch.zeros(0, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(8)]
)
def test_refuses_what_is_no_mask(apply, pack, mask):
    with pytest.raises(pack.core.errors.RespoError, match="expected a mask of finite numbers"):
        apply(mask=mask)


def test_picture_tells_of_the_mask(apply, pack, right):
    provenance = pack.root.nodes.steering.patching.provenance
    assert [edit["masked"] for edit in provenance(apply(mask=right))] == [True]
    assert [edit["masked"] for edit in provenance(apply())] == [False]
