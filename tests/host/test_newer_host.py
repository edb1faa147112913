"""The same code on a newer host: its own middle-block hook is not needed, and a skip connection may be None."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(params=["RespoApplyModule", "RespoBalance"])
def patched(request, run_node, model, module):
    """patched() -> the MODEL that the node gives."""
    return lambda: run_node(request.param, model=model, module=module)[0]


def test_no_skip_connection(patched, sample, model):
    wanted = sample(patched())
    assert not torch.equal(wanted, sample(model))
    newer = patched()
    row = newer.model_options["transformer_options"]["patches"]["output_block_patch"]
    seen = []

    def without_skip(patch):
        def run(h, hsp, options):
            h, found = patch(h, None, options)
            seen.append(found)
            return h, hsp

        return run

    row[:] = [without_skip(patch) for patch in row]
    assert torch.equal(sample(newer), wanted)
    assert set(seen) == {None}


def test_middle_block_hook_is_not_needed(patched, sample, model, monkeypatch):
    wanted = sample(patched())

    def refuse(*_):
        raise AssertionError("a pack that runs the U-Net by itself (DeepCache) does not call this hook")

    monkeypatch.setattr(type(model), "set_model_middle_block_after_patch", refuse, raising=False)
    assert torch.equal(sample(patched()), wanted)


def test_no_identifiers_of_prompts(patched, sample):
    """Packs that call the model past the host's guider may name chunks by number alone."""
    wanted = sample(patched())
    unnamed = patched()
    row = unnamed.model_options["transformer_options"]["patches"]["output_block_patch"]
    kept = ("block", "cond_or_uncond", "sigmas")

    def with_little(patch):
        return lambda h, hsp, options: patch(h, hsp, {name: options[name] for name in kept})

    row[:] = [with_little(patch) for patch in row]
    assert torch.equal(sample(unnamed), wanted)
