"""A module in ComfyUI, by the pack's nodes, does to a prediction what a plain hook with it does in diffusers."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

if sys.version_info < (3, 11):
    pytest.skip("no diffusers for this Python goes with the pinned packages", allow_module_level=True)

from parity.stacks import POOLED, Stacks, overheard, relative, sd15, sdxl

CLOSE = 1e-5
WIDTH = 16


@pytest.fixture(scope="module", params=[sd15, sdxl])
def stacks(request: pytest.FixtureRequest, host: SimpleNamespace) -> Stacks:
    return request.param()


def module_for(
    pack: SimpleNamespace, stacks: Stacks, size: tuple[int, int], kind: str = "grid", seed: int = 1, **changes: Any
) -> Any:
    """A loaded module with a random concept, large enough to be seen."""
    core = pack.core
    architecture = pack.guard.architecture_of(stacks.patcher)
    rank = 2 if kind == "low_rank" else None
    concept = core.module.concept.ConceptModule(architecture.middle_channels, *size, kind, rank)
    generator = torch.Generator().manual_seed(seed)
    for parameter in concept.parameters():
        parameter.data.normal_(0, 10, generator=generator)
    purpose = changes.get("purpose", "fairness")
    attribute = core.module.attribute.Attribute("some", purpose, {"it": concept}, architecture, {}, {})
    return pack.root.nodes.shared.wire.LoadedModule(attribute, "some.safetensors", str(seed) * 64)


def conditioning(seed: int, width: int = WIDTH) -> list:
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(1, POOLED, generator=generator)
    # SDXL's sizes: original height and width, crop, target.
    sizes = {"width": 512, "height": 640, "crop_w": 8, "crop_h": 16, "target_width": 256, "target_height": 320}
    return [[torch.randn(1, 7, width, generator=generator), {"pooled_output": pooled, **sizes}]]


def sampled(host: SimpleNamespace, model: Any, size: tuple[int, int], steps: int, width: int = WIDTH) -> list:
    """Draw two pictures through the host's sampler at cfg 3; return the calls of its U-Net."""
    latent = {"samples": torch.zeros(2, 4, *size)}
    prompts = conditioning(1, width), conditioning(2, width)
    with torch.inference_mode(), overheard(model.model) as calls:
        host.nodes.common_ksampler(model, 5, steps, 3.0, "euler", "normal", *prompts, latent)
    return calls


def in_diffusers(stacks: Stacks, call: SimpleNamespace, delta: Tensor, half: str) -> Tensor:
    """The same call there: the module on the rows of the prompt (the host's chunk 0), or on all rows."""
    rows = len(call.x) // len(call.chunks)
    acts = torch.tensor([chunk == 0 or half == "both" for chunk in call.chunks for _ in range(rows)])
    added = None
    if call.y is not None:
        pooled = {0: conditioning(1), 1: conditioning(2)}
        texts = torch.cat([pooled[chunk][0][1]["pooled_output"].expand(rows, -1) for chunk in call.chunks])
        added = {"text_embeds": texts, "time_ids": torch.tensor([[640.0, 512, 16, 8, 320, 256]] * len(call.x))}
    with torch.no_grad():
        return stacks.predict(call.x, call.t, call.context, delta * acts[:, None, None, None], added)


@pytest.mark.parametrize("half", ["conditional", "both"])
@pytest.mark.parametrize(("size", "kind"), [((16, 16), "grid"), ((24, 16), "low_rank"), ((20, 12), "channel")])
def test_predictions_agree(host, pack, run_node, stacks: Stacks, size, kind: str, half: str) -> None:
    module = module_for(pack, stacks, (2, 2), kind)
    knobs = {"strength": 0.8, "fidelity": 0.6, "guidance": half}
    steered = run_node("RespoApplyModule", model=stacks.patcher, module=module, **knobs)[0]
    shapes: list[tuple[int, int]] = []
    handle = stacks.net.mid_block.register_forward_hook(lambda net, given, h: shapes.append(tuple(h.shape[2:])))
    calls = sampled(host, steered, size, 3)
    assert len(calls) == 3
    assert sorted(calls[0].chunks) == [0, 1]
    in_diffusers(stacks, calls[0], torch.zeros(1), half)
    handle.remove()
    concept = module.attribute.concept("it")
    delta = (0.8 * (concept.responsible.resized(*shapes[0]) + 0.6 * concept.semantic.resized(*shapes[0]))).detach()
    for call in calls:
        assert relative(call.returned, in_diffusers(stacks, call, delta, half)) < CLOSE
        # A tenth less of the module would have been noticed.
        assert relative(call.returned, in_diffusers(stacks, call, 0.9 * delta, half)) > 10 * CLOSE


def test_without_a_module_they_agree_too(host, stacks: Stacks) -> None:
    for call in sampled(host, stacks.patcher, (16, 16), 2):
        assert relative(call.returned, in_diffusers(stacks, call, torch.zeros(1), "both")) < CLOSE


def both_parts(module: Any) -> Tensor:
    """RAM + SAM of a module whose grid has h's own size."""
    concept = module.attribute.concept("it")
    return (concept.responsible.full + concept.semantic.full).detach()


@pytest.mark.parametrize(
    ("purpose", "scales"),
    [
        ("fairness", (1.1, 0.9)),  # gender and race, by the paper
        ("fairness", (0.6, 0.4)),  # the same, by its code
        ("safety", (1.0, 1.0)),  # both safety concepts: the plain sum
    ],
)
@pytest.mark.parametrize("way", ["one after the other", "composed"])
def test_two_concepts_add_up(host, pack, run_node, stacks: Stacks, purpose: str, scales, way: str) -> None:
    size = {"sd15": (2, 2), "sdxl": (4, 4)}["sdxl" if stacks.net.config.addition_embed_type else "sd15"]
    modules = [module_for(pack, stacks, size, seed=seed, purpose=purpose) for seed in (1, 2)]
    if way == "composed":
        given = {"module_a": modules[0], "module_b": modules[1], "weight_a": scales[0], "weight_b": scales[1]}
        sum_ = run_node("RespoCompose", **given, name="both")[0]
        model = run_node("RespoApplyModule", model=stacks.patcher, module=sum_)[0]
    else:
        model = stacks.patcher
        for module, scale in zip(modules, scales, strict=True):
            model = run_node("RespoApplyModule", model=model, module=module, strength=scale)[0]
    delta = sum(scale * both_parts(module) for module, scale in zip(modules, scales, strict=True))
    for call in sampled(host, model, (16, 16), 2):
        assert relative(call.returned, in_diffusers(stacks, call, delta, "conditional")) < CLOSE


@pytest.fixture
def real(host: SimpleNamespace) -> Iterator[Stacks]:
    """SD 1.x with its real channel counts: 860 million weights, 3.4 GB, which both stacks share."""
    made = sd15(320, 768)
    yield made
    made.patcher = made.net = None
    import comfy.model_management

    comfy.model_management.unload_all_models()
    gc.collect()


def test_real_channel_counts(host, pack, run_node, real: Stacks) -> None:
    module = module_for(pack, real, (8, 8))
    assert module.attribute.architecture.family == "sd1"
    assert module.attribute.concept("it").responsible.full.shape == (1280, 8, 8)
    steered = run_node("RespoApplyModule", model=real.patcher, module=module)[0]
    (call,) = sampled(host, steered, (16, 16), 1, 768)
    delta = F.avg_pool2d(both_parts(module), 4)
    assert relative(call.returned, in_diffusers(real, call, delta, "conditional")) < CLOSE
    assert relative(call.returned, in_diffusers(real, call, 0 * delta, "conditional")) > 10 * CLOSE
