"""Faster ways to compute the same: weights kept in bf16, checkpointing, torch.compile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from host.test_split_unet import CPU, FakeClip, patcher_of, small
from torch import Tensor, nn

from respo_train.core.errors import RespoError
from respo_train.core.module.architecture import Architecture
from respo_train.host.compute import Probe, check_same, probe
from respo_train.host.split_unet import HostUNet
from respo_train.latents.sampling import predict, predict_many


def split(model: Any, dtype: torch.dtype = torch.float32, **options: Any) -> HostUNet:
    size = (9 * 8, 12 * 8)  # odd: upsampling has to crop
    return HostUNet(patcher_of(model), FakeClip(16, 8), None, CPU, dtype, size, **options)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_weights_kept_in_bfloat16_give_the_same_bits(host: SimpleNamespace, kind: str) -> None:
    expected = probe(split(small(kind), torch.bfloat16))
    model = small(kind)
    unet = split(model, torch.bfloat16, owned=True)
    found = probe(unet)
    assert torch.equal(found.prediction, expected.prediction)
    assert torch.equal(found.gradient, expected.gradient)
    kinds = {type(m).__name__: m.weight.dtype for m in model.diffusion_model.modules() if hasattr(m, "weight")}
    assert kinds["Linear"] == kinds["Conv2d"] == torch.bfloat16
    assert kinds["GroupNorm"] == kinds["LayerNorm"] == torch.float32
    assert unet.fingerprint == split(small(kind)).fingerprint


def test_weights_of_others_and_float32_stay(host: SimpleNamespace) -> None:
    for dtype, owned in ((torch.bfloat16, False), (torch.float32, True)):
        model = small("sd1")
        split(model, dtype, owned=owned)
        assert all(parameter.dtype == torch.float32 for parameter in model.diffusion_model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_checkpointing_gives_the_same_bits(host: SimpleNamespace, kind: str, dtype: torch.dtype) -> None:
    model = small(kind)
    expected, found = (probe(split(model, dtype, checkpointing=on)) for on in (False, True))
    assert torch.equal(found.prediction, expected.prediction)
    assert torch.equal(found.gradient, expected.gradient)


def test_checkpointing_keeps_less_and_asks_hooks_again(host: SimpleNamespace) -> None:
    """What is kept for the backward pass, counted; a hook sees the layers of the second run under the same numbers."""

    def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    kept, layers = {}, {}
    for on in (False, True):
        unet = split(small("sd1"), checkpointing=on)
        (prompt,) = unet.encode_prompts(["a person"])
        encoded = unet.encoder(torch.randn(1, 4, 9, 12), torch.tensor([500]), prompt)
        saved: list[int] = []
        seen: list[int] = []

        def hook(layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, size: Any, seen: Any = seen) -> Tensor:
            seen.append(layer)
            return attend(q, k, v, heads)

        def pack(x: Tensor, saved: Any = saved) -> Tensor:
            saved.append(x.numel())
            return x

        h = encoded.h.clone().requires_grad_(True)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            loss = unet.decoder(encoded, h, hook).square().mean()
        kept[on] = sum(saved)
        loss.backward()
        layers[on] = seen
    assert kept[True] < kept[False] / 2
    assert layers[False] == [i for i, (half, *_) in enumerate(unet._attention_places) if half == "output"]
    assert sorted(layers[True]) == sorted(2 * layers[False])


def test_sdxl_is_checkpointed_unless_told_otherwise(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not split(small("sd1"))._checkpointing
    sdxl = Architecture("sdxl", 320, 2048, 2816, 1280)
    monkeypatch.setattr(Architecture, "from_unet_config", lambda config: sdxl)
    assert split(small("sd1"))._checkpointing
    assert not split(small("sd1"), checkpointing=False)._checkpointing


def test_compiled_halves_are_checked_and_used(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def fake(function: Any) -> Any:
        compiled.append(function.__name__)
        return lambda *arguments: function(*arguments)

    monkeypatch.setattr(torch, "compile", fake)
    unet = split(small("sd1"))
    unet.compile()
    assert compiled == ["_run_first_half", "_run_second_half"]


@pytest.mark.parametrize("broken", ["prediction", "gradient", "nan", "raises"])
def test_a_compiler_that_breaks_the_decoder_is_refused(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def breaking(function: Any) -> Any:
        if function.__name__ == "_run_first_half":
            return function

        def run(h: Tensor, *others: Any) -> Tensor:
            if broken == "raises":
                raise RuntimeError("no C++ compiler\nand many more lines")
            if broken == "gradient":  # right numbers, but only half of what flows back: what nearest upsampling did
                return function((h + h.detach()) / 2, *others)
            return function(h, *others) * (float("nan") if broken == "nan" else 1.01)

        return run

    monkeypatch.setattr(torch, "compile", breaking)
    with pytest.raises(RespoError, match=r"torch\.compile") as caught:
        split(small("sd1")).compile()
    assert "\n" not in str(caught.value)
    if broken in ("prediction", "gradient"):
        assert broken in str(caught.value)


def test_rounding_is_no_reason_to_refuse() -> None:
    right = Probe(torch.ones(1, 4, 8, 8), torch.ones(1, 8, 4, 4))
    near = Probe(right.prediction * 1.01, right.gradient * 0.99)
    check_same(right, near, torch.bfloat16)
    with pytest.raises(RespoError, match=r"prediction that differs by 1\.0%"):
        check_same(right, near, torch.float32)


def test_the_loader_owns_its_model(host: SimpleNamespace) -> None:
    from host.test_training import EMOJI_WORLD

    from respo_train.host.load import load_unet

    unet = load_unet(EMOJI_WORLD, "bfloat16")
    weights = [m.weight for m in unet._net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert weights
    assert all(weight.dtype == torch.bfloat16 for weight in weights)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_many_prompts_in_one_pass(host: SimpleNamespace, kind: str) -> None:
    unet = split(small(kind))
    latents, timesteps = torch.randn(2, 4, 9, 12), torch.tensor([900, 20])
    prompts = unet.encode_prompts(["a person", "", "a woman"])
    found, first = predict_many(unet, latents, timesteps, prompts)
    for a, prompt in zip(found, prompts, strict=True):
        torch.testing.assert_close(a, predict(unet, latents, timesteps, prompt), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(unet.decoder(first, first.h), found[0], rtol=1e-4, atol=1e-6)


def without_gradient(q: Tensor, k: Tensor, v: Tensor, heads: int, *_: Any, **__: Any) -> Tensor:
    """As sage attention: nearly right, and autograd does not see it."""
    q, k, v = (x.detach().unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return 1.01 * F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_attention_without_a_gradient_is_not_trained_through(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from comfy.ldm.modules import attention

    model = small(kind)
    monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)
    expected = probe(split(model))
    monkeypatch.setattr(attention, "optimized_attention", without_gradient)
    found = probe(split(model))
    assert torch.equal(found.prediction, expected.prediction)
    assert torch.equal(found.gradient, expected.gradient)


def test_a_hook_acts_beside_the_replaced_attention(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    from comfy.ldm.modules import attention

    model, seen = small("sd1"), []

    def hook(layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, size: Any) -> Tensor:
        seen.append(layer)
        return torch.zeros_like(q)

    def predicted() -> Tensor:
        unet = split(model)
        (prompt,) = unet.encode_prompts(["a person"])
        encoded = unet.encoder(torch.ones(1, 4, 9, 12), torch.tensor([500]), prompt, hook)
        return unet.decoder(encoded, encoded.h, hook)

    monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)
    expected = predicted()
    monkeypatch.setattr(attention, "optimized_attention", without_gradient)
    assert torch.equal(predicted(), expected)
    assert sorted(set(seen)) == list(range(len(seen) // 2))
