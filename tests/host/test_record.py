"""Record Run: the host's own picture, and a record that says what the model was doing on the way to it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from respo_train.core.pictures.frequency import block_means

SAMPLERS = ["euler", "heun", "dpm_2", "dpmpp_2m", "dpmpp_sde", "ddim", "uni_pc", "lcm"]


@pytest.fixture(scope="module")
def record_run(run_node, model, prompt):
    """record_run(…) -> (LATENT's samples, the record) of two small pictures in four steps."""

    def run(**given):
        size = given.pop("size", (2, 4, 16, 16))
        values = {"model": model, "seed": 5, "steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal"}
        values |= {"positive": prompt(1), "negative": prompt(2), "latent_image": {"samples": torch.zeros(size)}}
        with torch.inference_mode():
            latent, record = run_node("RespoRecordRun", **{**values, **given}).args
        return latent["samples"], record

    return run


@pytest.fixture(scope="module")
def ksampler(host, model, prompt):
    """ksampler(…) -> what the host gives for the same."""

    def run(model=model, sampler_name="euler", cfg=3.0, denoise=1.0, size=(2, 4, 16, 16), positive=None):
        latent = {"samples": torch.zeros(size)}
        given = (model, 5, 4, cfg, sampler_name, "normal", positive or prompt(1), prompt(2), latent)
        with torch.inference_mode():
            return host.nodes.common_ksampler(*given, denoise=denoise)[0]["samples"]

    return run


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_gives_the_hosts_own_picture(record_run, ksampler, sampler):
    latent, record = record_run(sampler_name=sampler)
    assert torch.equal(latent, ksampler(sampler_name=sampler))
    assert torch.equal(record_run(sampler_name=sampler)[0], latent)
    assert record_run(sampler_name=sampler)[1] == record


def test_keeps_every_call(record_run, model):
    """What the guider was given back, and the block means of what the first output block was given."""
    seen, denoised = [], []
    watched = model.clone()

    def look(h, hsp, options):
        if options["block"] == ("output", 0):
            seen.append((options["cond_or_uncond"], h.clone()))
        return h, hsp

    def keep(args):
        denoised.append((float(args["sigma"][0]), args["denoised"].clone()))
        return args["denoised"]

    watched.set_model_output_block_patch(look)
    watched.set_model_sampler_post_cfg_function(keep)
    _, record = record_run(model=watched, sampler_name="heun")
    keys = [(sigma, [s for s, _ in denoised[:i]].count(sigma)) for i, (sigma, _) in enumerate(denoised)]
    assert max(ordinal for _, ordinal in keys) == 1
    assert list(record.calls) == keys
    for key, (_, picture), (chunks, h) in zip(keys, denoised, seen, strict=True):
        assert torch.equal(record.call(*key).denoised, picture)
        assert chunks == [1, 0]
        bands = record.call(*key).bands
        assert set(bands) == {("positive", 0), ("negative", 0)}
        for name, part in zip(("negative", "positive"), h.chunk(2), strict=True):
            assert torch.equal(bands[name, 0].means, block_means(part).half())


def test_knows_its_run(record_run, model):
    _, record = record_run(size=(3, 4, 20, 16))
    assert record.run.shape == (3, 4, 20, 16)
    assert len(record.run.sigmas) == 5
    assert record.names == {"positive", "negative"}
    assert record_run(cfg=1.0)[1].names == {"positive"}
    assert record_run(seed=6)[1].run.start != record_run()[1].run.start
    assert record_run(seed=6)[1] != record_run()[1]
    with pytest.raises(FrozenInstanceError):
        record.sha256 = ""


def test_says_which_call_is_missing(record_run, pack):
    _, record = record_run()
    with pytest.raises(pack.core.errors.RespoError, match="call number 2"):
        record.call(record.run.sigmas[0], 1)


def test_calls_in_another_order(record_run, pack):
    """The same sampler and steps: told when the run is over, or has more calls. Another sampler: at the call."""
    _, record = record_run()
    follower = pack.root.nodes.recording.playback._Follower
    sigmas = [torch.tensor([sigma]) for sigma, _ in record.calls]

    def after(calls, run=record.run):
        own = follower(record, run)
        return own, [own.next(sigma) for sigma in calls]

    own, found = after(sigmas)
    assert found == list(record.calls.values())
    own.require_order()
    with pytest.raises(pack.core.errors.RespoError, match="call number 2"):
        own.next(sigmas[-1])
    own, _ = after(reversed(sigmas))
    with pytest.raises(pack.core.errors.RespoError, match="call number 1"):
        own.require_order()
    with pytest.raises(pack.core.errors.RespoError, match="call number 1"):
        after([torch.tensor([99.0])], replace(record.run, sampler="another"))


def test_nothing_sampled(record_run, pack):
    with pytest.raises(pack.core.errors.RespoError, match="denoise"):
        record_run(denoise=0.0)


def test_leaves_the_model_alone(record_run, ksampler, model):
    before = ksampler()
    options = repr(model.model_options)
    record_run()
    assert repr(model.model_options) == options
    assert torch.equal(ksampler(), before)


def test_half_precision(record_run, make_model):
    for dtype in (torch.float16, torch.bfloat16):
        _, record = record_run(model=make_model(dtype=dtype))
        assert {band.means.dtype for call in record.calls.values() for band in call.bands.values()} == {dtype}
