"""Where without a record: against predictions with and without modules, composed by hand."""

from __future__ import annotations

import pytest
import torch
from compatibility.row import NEGATIVE, POSITIVE, ksampler, latent, patch, prompt
from compatibility.sampling import small

THRESHOLD = 0.7


@pytest.fixture
def where(run_node, model):
    """where(…) -> the MODEL that Where gives."""
    return lambda **given: run_node(
        "RespoWhere", **{"model": model, "threshold": THRESHOLD, "compare_every": 1, **given}
    )[0]


@pytest.fixture
def recorded(run_node, model):
    """recorded() -> the latent and the record of the run that `ksampler` makes."""
    usual = {"seed": 5, "steps": 3, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    return lambda of=model, **given: run_node(
        "RespoRecordRun",
        model=of,
        positive=prompt(POSITIVE),
        negative=prompt(NEGATIVE),
        latent_image=latent(),
        **{**usual, **given},
    )


@pytest.fixture
def record_of(recorded):
    """record_of() -> the record alone."""
    return lambda *of: recorded(*of)[1]


@pytest.fixture
def steered(run_node, model, module):
    return lambda **given: run_node("RespoApplyModule", **{"model": model, "module": module, **given})[0]


def seen(model, look):
    """A clone that calls `look` for each call of its network."""
    other = model.clone()

    def wrapper(apply, given):
        look(given)
        return apply(given["input"], given["timestep"], **given["c"])

    other.set_model_unet_function_wrapper(wrapper)
    return other


@pytest.mark.parametrize(
    "run", [ksampler(steps=1), ksampler(steps=1, latent=small, denoise=0.5), ksampler(steps=1, cfg=1.0)]
)
def test_one_step_is_both_predictions_composed(run, where, steered, model, pack):
    """A single Euler step arrives at the prediction itself."""
    plain, after, found = run(model), run(steered()), run(where(model=steered()))
    mask = pack.core.pictures.region.changed(after, plain, THRESHOLD)
    assert 0.05 < mask.mean() < 0.95
    assert torch.allclose(found, torch.lerp(plain, after, mask), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("every", "extra"), [(1, 7), (2, 4), (3, 3), (7, 3), (100, 3)])
def test_so_many_steps_are_predicted_twice(every, extra, where, steered, model):
    calls = []
    run = ksampler(steps=7)
    run(seen(where(model=steered(), compare_every=every), calls.append))
    assert len(calls) == 7 + extra


def test_the_last_difference_stands_in_between(where, steered, model):
    """The more often it compares, the nearer; and even one comparison keeps much of the picture."""
    run = ksampler(steps=6)
    plain, changed = run(model), run(steered())
    found = [run(where(model=steered(), compare_every=every, threshold=0.9)) for every in (1, 6)]
    each, once = ((one - plain).norm() / (changed - plain).norm() for one in found)
    assert each < 0.6
    assert each < once < 0.9


@pytest.mark.parametrize("sampler", ["euler", "heun", "uni_pc"])
def test_few_long_steps(sampler, where, steered, model):
    """One comparison for all of four steps would take the picture further away than no Where at all."""
    run = ksampler(steps=4, sampler_name=sampler)
    plain, changed = run(model), run(steered())
    found = run(where(model=steered(), compare_every=7, threshold=0.9))
    assert (found - plain).norm() < 0.9 * (changed - plain).norm()


def test_nothing_to_compare_changes_no_bit(where, steered, model):
    assert torch.equal(ksampler()(where()), ksampler()(model))
    assert where(enabled=False) is model


def test_order_of_nodes_and_several_modules(where, steered):
    run = ksampler()
    found = run(where(model=steered(model=steered())))
    assert torch.equal(run(steered(model=where(model=steered()))), found)
    assert torch.equal(run(steered(model=steered(model=where()))), found)


def test_runs_share_nothing(where, steered):
    limited, run = where(model=steered(), compare_every=2), ksampler(steps=3)
    first = run(limited)
    ksampler(steps=2, latent=latent(3, 16, 24))(limited)
    assert torch.equal(run(limited), first)


def test_goes_with_a_recorded_background_in_any_order(where, steered, run_node, record_of):
    record = record_of()

    def background(model):
        return run_node("RespoBackground", model=model, record=record, strength=0.2)[0]

    found = ksampler()(background(where(model=steered())))
    assert torch.equal(ksampler()(where(model=background(steered()))), found)
    assert not torch.equal(ksampler()(where(model=steered())), found)


@pytest.mark.parametrize("by_record", [False, True])
def test_is_recorded_as_it_draws(by_record, where, steered, recorded):
    """A record has no prediction without modules. A single Euler step arrives at the prediction itself."""
    kept = {"record": recorded(steps=1)[1], "compare_every": 0} if by_record else {}
    drawn, record = recorded(where(model=steered(), **kept), steps=1)
    (call,) = record.calls.values()
    latents = where().model.process_latent_in(drawn["samples"])
    assert torch.allclose(call.denoised.to(latents), latents, rtol=1e-4, atol=1e-3)
    (without_where,) = recorded(steered(), steps=1)[1].calls.values()
    assert all(torch.equal(call.bands[key].means, own.means) for key, own in without_where.bands.items())


def test_two_that_keep_the_rest_are_refused(where, record_of, pack):
    error, record = pack.core.errors.RespoError, record_of()
    with pytest.raises(error, match="found two"):
        where(model=where())
    with pytest.raises(error, match="found two"):
        where(model=where(), record=record, compare_every=0)
    with pytest.raises(error, match="found two"):
        where(model=where(record=record, compare_every=0))
    with pytest.raises(error, match="found both"):
        where(record=record)


def test_past_the_hosts_sampler_it_says_so(pack):
    with pytest.raises(pack.core.errors.RespoError, match="past the host's sampler"):
        pack.root.nodes.recording.alongside.keep_alongside(None, torch.zeros(1, 4, 8, 8), torch.ones(1), {})


@pytest.mark.parametrize("name", ["EasyCache", "LazyCache"])
@pytest.mark.parametrize("before", [True, False])
def test_a_cache_of_predictions_does_not_take_one_for_the_other(name, before, where, steered, model):
    """The cache is so strict that it leaves out only what was predicted at the very same latents."""
    cache = patch(
        f"nodes_easycache.{name}Node", reuse_threshold=1e-7, start_percent=0.0, end_percent=1.0, verbose=False
    )
    run = ksampler(steps=4)
    found = run(where(model=cache(steered())) if before else cache(where(model=steered())))
    assert torch.equal(found, run(where(model=steered())))


def test_a_step_at_sigma_0_is_finite(pack):
    """There the prediction is the picture itself, with modules and without."""
    begun = pack.root.nodes.recording.alongside._Comparison(1, THRESHOLD)
    x, sigma = torch.ones(1, 4, 8, 8), torch.zeros(1)
    assert begun.is_due(x)
    assert torch.equal(begun.keep(x, x, sigma), x)
