"""Where with a record: against the oracle that goes by the order of the calls, and runs that the record is not of."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from compatibility.conditioning import area, combine
from compatibility.row import NEGATIVE, POSITIVE, ksampler, latent, prompt
from compatibility.sampling import little_memory, small, with_mask

THRESHOLD = 0.3


def with_another_in_a_part():
    """The prompt, and a second one that is heard in a part of the picture."""
    return combine(prompt(POSITIVE), area())


RUNS = {
    "euler": {},
    "ddim": {"sampler_name": "ddim", "scheduler": "ddim_uniform"},
    "heun": {"sampler_name": "heun"},
    "dpm_2": {"sampler_name": "dpm_2"},
    "dpmpp_sde": {"sampler_name": "dpmpp_sde"},
    "dpmpp_2m": {"sampler_name": "dpmpp_2m"},
    "cfg 1": {"cfg": 1.0},
    "three wide ones": {"latent": partial(latent, 3, 16, 24)},
    "img2img": {"latent": small, "denoise": 0.5},
    "inpainting": {"latent": with_mask},
    "another prompt in a part": {"positive": with_another_in_a_part},
}


@pytest.fixture
def where(run_node, model):
    """where(…) -> the MODEL that Where gives."""
    return lambda **given: run_node("RespoWhere", **{"model": model, "threshold": THRESHOLD, **given})[0]


@pytest.fixture
def steered(run_node, model, module):
    return lambda **given: run_node("RespoApplyModule", **{"model": model, "module": module, **given})[0]


@pytest.fixture
def record_of(run_node, model):
    """record_of(…) -> the record of the run that `ksampler` with the same changes makes."""

    def record(**changes):
        usual = {"seed": 5, "steps": 3, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        usual |= {"positive": prompt(POSITIVE), "negative": prompt(NEGATIVE), "latent": latent()}
        run = {name: value() if callable(value) else value for name, value in {**usual, **changes}.items()}
        return run_node("RespoRecordRun", model=model, latent_image=run.pop("latent"), **run)[1]

    return record


def watched(model, look):
    """A clone whose guided predictions `look` sees, and replaces by what it returns."""
    other = model.clone()
    other.set_model_sampler_post_cfg_function(lambda given: look(given["denoised"]))
    return other


@pytest.mark.parametrize("name", RUNS)
def test_each_call_goes_by_the_recorded_one(name, where, steered, record_of, model, pack):
    """The oracle goes by the order of the calls, the node by their sigmas."""
    run, calls = ksampler(**RUNS[name]), []
    plain = run(watched(model, lambda new: calls.append(new.clone()) or new))
    earlier = iter(calls)

    def keep(new):
        old = next(earlier)
        mask = pack.core.pictures.region.changed(new, old, THRESHOLD)
        return mask * new + (1 - mask) * old

    wanted = run(watched(steered(), keep))
    assert next(earlier, None) is None
    record = record_of(**RUNS[name])
    found = run(where(model=steered(), record=record))
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(found, run(steered()), rtol=1e-2, atol=1e-2)
    assert not torch.allclose(found, plain, rtol=1e-2, atol=1e-2)
    assert torch.equal(run(steered(model=where(record=record))), found)
    assert torch.equal(run(where(record=record)), plain)


def test_higher_thresholds_keep_more(where, steered, record_of, model):
    run, record = ksampler(), record_of()
    plain, changed = run(model), run(steered())
    ratios = []
    for threshold in (0.0, 0.3, 0.6, 0.9):
        found = run(where(model=steered(), record=record, threshold=threshold))
        ratios.append(((found - plain).norm() / (changed - plain).norm()).item())
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 0.9
    assert ratios[-1] < 0.5 * ratios[0]


def test_little_memory(where, steered, record_of):
    held = where(model=steered(), record=record_of())
    assert torch.allclose(little_memory(held), ksampler()(held), rtol=1e-4, atol=1e-3)


def test_goes_with_background_in_any_order(where, steered, run_node, record_of):
    record = record_of()

    def background(model):
        return run_node("RespoBackground", model=model, record=record, strength=0.2)[0]

    one = background(where(model=steered(), record=record))
    two = where(model=background(steered()), record=record)
    assert torch.equal(ksampler()(one), ksampler()(two))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 6}, "another seed"),
        ({"latent": small}, "another picture"),
        ({"latent": partial(latent, 3)}, "latents of"),
        ({"steps": 5}, "no step at sigma"),
        ({"scheduler": "karras"}, "no step at sigma"),
        ({"denoise": 0.5}, "no step at sigma"),
    ],
)
def test_another_run_is_refused_before_its_first_step(changes, words, where, steered, record_of, pack):
    held, calls = where(model=steered(), record=record_of()), []
    held.set_model_unet_function_wrapper(lambda apply, call: calls.append(1))
    with pytest.raises(pack.core.errors.RespoError, match=words):
        ksampler(**changes)(held)
    assert calls == []


def test_another_model_is_refused(where, record_of, make_model, pack):
    with pytest.raises(pack.core.errors.RespoError, match="another model"):
        ksampler()(where(model=make_model(seed=3), record=record_of()))


def test_says_when_nobody_tells_the_step(pack):
    keep = pack.root.nodes.recording.playback.keep_rest(SimpleNamespace(sha256="0"), THRESHOLD)
    for options in (None, {}, {"transformer_options": {}}):
        with pytest.raises(pack.core.errors.RespoError, match="which step"):
            keep(lambda x, *_: x, torch.zeros(1, 4, 2, 2), torch.ones(1), options, 5)
