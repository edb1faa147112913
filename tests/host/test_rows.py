"""Whose row is this: windows and tiles compared with the same run without them, and calls that cannot be told apart."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch


@pytest.fixture
def rows(pack):
    return pack.root.nodes.calls.rows


@pytest.mark.parametrize(
    ("count", "sampled", "own"),
    [
        (3, 3, (0, 1, 2)),
        (12, 3, (0, 1, 2)),  # four tiles of three pictures
        (2, [5, 6], (5, 6)),  # a sliding window
        (4, [5, 6], (5, 6)),  # two tiles of a window's pictures
        (1, 1, (0,)),
        (2, 3, None),  # part of a batch, and nobody says which
        (5, [1, 2], None),
    ],
)
def test_pictures_of_rows(rows, count, sampled, own):
    assert rows.pictures_of(count, sampled) == own


def test_a_value_for_each_picture_follows_its_picture(rows):
    values = torch.arange(4.0)
    assert rows.Pictures(2, (2, 3), 4).pick(values).tolist() == [2, 3]
    assert rows.Pictures(3, (0, 1, 2), 3).pick(values).tolist() == [
        0,
        1,
        2,
    ]  # too many are cut off
    assert rows.Pictures(6, tuple(range(6)), 6).pick(values).tolist() == [0, 1, 2, 3, 0, 1]
    assert rows.Pictures(2, None, 4).pick(values[:1]).tolist() == [0]
    with pytest.raises(rows.RespoError, match=r"2 rows for each prompt, but 4 pictures"):
        rows.Pictures(2, None, 4).pick(values)


def test_chunks_are_prompts_in_tiles(rows):
    options = {
        "cond_or_uncond": [1, 0],
        "respo_pictures": rows._Run(3, (32, 32), ""),
        "original_shape": [12, 4, 16, 16],
    }
    chunks = rows.chunks_of(12, options)
    assert [(c.rows.start, c.rows.stop, c.cond.conditional) for c in chunks] == [
        (0, 3, False),
        (3, 6, True),
        (6, 9, False),
        (9, 12, True),
    ]
    assert all(c.pictures.places == (0, 1, 2) for c in chunks)
    with pytest.raises(rows.RespoError, match=r"A mask is of whole pictures, but .* shows \[16, 16\]"):
        chunks[0].require_whole("A mask")


def test_the_pack_that_rearranges_a_batch_is_named(rows):
    with pytest.raises(rows.RespoError, match=r"\(ComfyUI-Tiles\) rearranges the batch"):
        rows.Pictures(2, None, 4, pack="ComfyUI-Tiles").known()


@pytest.mark.parametrize("evolved", [False, True], ids=["context windows", "AnimateDiff-Evolved"])
def test_a_window_says_which_pictures_it_has(rows, evolved):
    window = SimpleNamespace(index_list=[4, 5], dim=0)
    options = {"ad_params": {"sub_idxs": [4, 5]}} if evolved else {"context_window": window}
    (chunk,) = rows.chunks_of(2, {**options, "cond_or_uncond": [0], "respo_pictures": rows._Run(8, (16, 16), "")})
    assert chunk.pictures.places == (4, 5)


def test_a_newer_hosts_window_has_the_picture_before_it_in_front(rows):
    window = SimpleNamespace(index_list=[4, 5], dim=0, causal_anchor_index=3)
    options = {"context_window": window, "cond_or_uncond": [0, 1], "respo_pictures": rows._Run(8, (16, 16), "")}
    assert [chunk.pictures.places for chunk in rows.chunks_of(6, options)] == [(3, 4, 5)] * 2
    window.causal_anchor_index = -1
    assert [chunk.pictures.places for chunk in rows.chunks_of(4, options)] == [(4, 5)] * 2


def tiled(model: Any, together: int) -> Any:
    """Return a clone whose calls are cut into tiles of 16 x 16 latent pixels, `together` tiles in one call."""

    def call(apply, given):
        x, t, c = given["input"], given["timestep"], given["c"]
        rows, out = len(x), torch.zeros_like(x)
        places = [
            (..., slice(i, i + 16), slice(j, j + 16))
            for i in range(0, x.shape[2], 16)
            for j in range(0, x.shape[3], 16)
        ]
        for first in range(0, len(places), together):
            some = places[first : first + together]
            more = {
                k: v.repeat(len(some), *[1] * (v.ndim - 1)) if isinstance(v, torch.Tensor) and len(v) == rows else v
                for k, v in c.items()
            }
            result = apply(torch.cat([x[place] for place in some]), t.repeat(len(some)), **more)
            for place, part in zip(some, result.split(rows), strict=True):
                out[place] = part
        return out

    patched = model.clone()
    patched.set_model_unet_function_wrapper(call)
    return patched


def windowed(model: Any) -> Any:
    """Return a clone that is sampled in the host's Context Windows: three pictures at once, one of them shared."""
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    settings = {
        "context_schedule": "standard_static",
        "context_stride": 1,
        "closed_loop": False,
        "fuse_method": "pyramid",
    }
    schema = ContextWindowsManualNode.GET_SCHEMA().inputs  # newer hosts have more of them
    defaults = {given.id: given.default for given in schema if getattr(given, "default", None) is not None}
    settings |= {"context_length": 3, "context_overlap": 1, "dim": 0}
    return ContextWindowsManualNode.execute(**{**defaults, **settings}, model=model)[0]


@pytest.fixture
def in_windows(sample) -> Callable[..., torch.Tensor]:
    """in_windows(model) -> five pictures, in windows. (Host 0.3.75 needs as many pictures as sigmas for that.)"""
    return lambda on: sample(windowed(on), count=5)


def test_windows_do_not_change_the_unsteered_pictures(sample, in_windows, model):
    assert torch.allclose(in_windows(model), sample(model, count=5), atol=1e-4)


def test_balance_in_windows(sample, in_windows, run_node, model, module):
    balanced = run_node("RespoBalance", model=model, module=module, seed=1, count=5)[0]
    assert torch.allclose(in_windows(balanced), sample(balanced, count=5), atol=1e-4)


def test_a_mask_for_each_picture_in_windows(sample, in_windows, run_node, model, module):
    mask = torch.zeros(5, 16, 16)
    mask[3:] = 1
    masked = run_node("RespoApplyModule", model=model, module=module, mask=mask)[0]
    assert torch.allclose(in_windows(masked), sample(masked, count=5), atol=1e-4)


def test_background_with_a_record_in_windows(sample, in_windows, run_node, model, prompt):
    recorded = run_node(
        "RespoRecordRun", model=model, seed=5, steps=4, cfg=3.0, sampler_name="euler", scheduler="normal",
        positive=prompt(1), negative=prompt(2), latent_image={"samples": torch.zeros(5, 4, 16, 16)}, denoise=1.0,
    )[1]  # fmt: skip
    held = run_node("RespoBackground", model=model, record=recorded, strength=0.5)[0]
    expected = sample(held, count=5)
    assert not torch.allclose(expected, sample(model, count=5), atol=1e-2)
    assert torch.allclose(in_windows(held), expected, atol=1e-4)


def test_a_record_made_in_windows_is_that_of_the_run(sample, run_node, model, prompt):
    given = {
        "seed": 5, "steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "positive": prompt(1),
        "negative": prompt(2), "latent_image": {"samples": torch.zeros(5, 4, 16, 16)}, "denoise": 1.0,
    }  # fmt: skip
    whole, windows = (run_node("RespoRecordRun", model=on, **given)[1] for on in (model, windowed(model)))
    for key, call in whole.calls.items():
        for prompt_key, band in call.bands.items():
            assert torch.allclose(windows.calls[key].bands[prompt_key].means, band.means, atol=1e-2)


@pytest.mark.parametrize("recorded_in_tiles", [False, True])
def test_a_record_over_tiles_is_refused(sample, run_node, model, prompt, pack, recorded_in_tiles):
    given = {
        "seed": 5, "steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "positive": prompt(1),
        "negative": prompt(2), "latent_image": {"samples": torch.zeros(2, 4, 32, 32)}, "denoise": 1.0,
    }  # fmt: skip

    def held() -> torch.Tensor:
        recorded = run_node("RespoRecordRun", model=tiled(model, 2) if recorded_in_tiles else model, **given)[1]
        return sample(tiled(run_node("RespoBackground", model=model, record=recorded)[0], 2), size=(32, 32))

    with pytest.raises(pack.core.errors.RespoError, match=r"A record is of whole pictures.*sample without tiles"):
        held()


def test_masks_of_a_batch_that_is_drawn_one_by_one_are_refused(sample, run_node, model, module, pack):
    """What detailers do: the masks are those of the whole batch, but each run draws one picture of it."""
    masked = run_node("RespoApplyModule", model=model, module=module, mask=torch.ones(3, 16, 16))[0]
    with pytest.raises(pack.core.errors.RespoError, match="3 masks came for a run of one picture"):
        sample(masked, count=1)
    single = run_node("RespoApplyModule", model=model, module=module, mask=torch.ones(1, 16, 16))[0]
    assert not torch.allclose(sample(single, count=1), sample(model, count=1), atol=1e-2)


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_several_tiles_in_one_call(sample, run_node, model, module, start):
    balanced = run_node("RespoBalance", model=model, module=module, seed=1, count=2, start_percent=start)[0]
    one, four = (sample(tiled(balanced, together), size=(32, 32)) for together in (1, 4))
    assert torch.allclose(one, four, atol=1e-4)
    assert not torch.allclose(one, sample(tiled(model, 1), size=(32, 32)), atol=1e-2)


def test_a_mask_over_tiles_is_refused(sample, run_node, model, module, pack):
    masked = run_node("RespoApplyModule", model=model, module=module, mask=torch.ones(1, 32, 32))[0]
    with pytest.raises(pack.core.errors.RespoError, match="A mask is of whole pictures"):
        sample(tiled(masked, 1), size=(32, 32))


def test_a_part_of_a_batch_that_nobody_names_is_refused(sample, run_node, model, module, pack):
    def one_by_one(apply: Callable, given: dict) -> torch.Tensor:
        x, t, c = given["input"], given["timestep"], given["c"]
        count = len(x) // len(given["cond_or_uncond"])
        if count == 1:
            return apply(x, t, **c)
        own = [slice(row, None, count) for row in range(count)]  # a picture at a time, with its prompts
        out = torch.zeros_like(x)
        for rows in own:
            part = {k: v[rows] if isinstance(v, torch.Tensor) and len(v) == len(x) else v for k, v in c.items()}
            out[rows] = apply(x[rows], t[rows], **part)
        return out

    def split(on: Any) -> Any:
        patched = on.clone()
        patched.set_model_unet_function_wrapper(one_by_one)
        return patched

    same_for_all = run_node("RespoApplyModule", model=model, module=module)[0]
    assert torch.allclose(sample(split(same_for_all)), sample(same_for_all), atol=1e-4)
    balanced = run_node("RespoBalance", model=model, module=module, seed=1, count=2)[0]
    with pytest.raises(pack.core.errors.RespoError, match="nothing tells which row is whose"):
        sample(split(balanced))


def test_two_positive_prompts_with_an_area_in_windows(run_node, model, module, prompt):
    """DualCFG's negative prompts come first, and every list has a copy of the area's prompt: numbers tell nothing."""
    import comfy.sample
    import comfy.samplers
    from comfy_extras.nodes_custom_sampler import Guider_DualCFG

    def draw(on: Any) -> torch.Tensor:
        guider = Guider_DualCFG(on)
        area = prompt(4, area=(8, 16, 8, 0), strength=1.0, set_area_to_bounds=False)
        guider.set_conds(prompt(1) + area, prompt(3), prompt(2))
        guider.set_cfg(3.0, 2.0)
        latent = torch.zeros(5, 4, 16, 16)
        sigmas = comfy.samplers.calculate_sigmas(on.get_model_object("model_sampling"), "normal", 4)
        euler = comfy.samplers.sampler_object("euler")
        with torch.inference_mode():
            return guider.sample(comfy.sample.prepare_noise(latent, 5), latent, euler, sigmas, seed=5)

    steered = run_node("RespoApplyModule", model=model, module=module, concept="woman")[0]
    assert torch.allclose(draw(windowed(steered)), draw(steered), atol=1e-4)
