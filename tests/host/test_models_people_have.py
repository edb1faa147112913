"""Models that people have, at small width: each can be trained for and samples with a module, or is refused in a line.

LoRAs are in test_borrow.py, and what sampling refuses in test_refused_models.py.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from host.test_split_unet import CPU, FakeClip, patcher_of, small
from torch import Tensor

from respo_train.core.errors import RespoError
from respo_train.host.borrow import borrowed
from respo_train.host.split_unet import HostUNet
from respo_train.latents.sampling import sample as draw
from respo_train.settings.preset_files import read_config
from respo_train.trainer import train


class Clip(FakeClip):
    """With the host's short call, too."""

    def encode_from_tokens(self, tokens: Any, return_pooled: bool = False, return_dict: bool = False) -> Any:
        found = super().encode_from_tokens(tokens, return_pooled, True)
        return found if return_dict else found["cond"]


def trained(model: Any, clip: Any = None, **changes: Any) -> dict[str, Any]:
    """Train two steps on a host MODEL at 8 x 8 latents; return the modules."""
    few = {"steps": 2, "batch": 2, "trajectory_steps": 4, "probe": {"nobody": []}, "train_on": "neutral", **changes}
    with borrowed(model, clip or Clip(16, 8), size=(64, 64), precision="float32") as loan:
        return train(read_config("gender", few), loan.unet).modules()


def assert_learned(modules: dict[str, Any]) -> None:
    values = [parameter for module in modules.values() for parameter in module.parameters()]
    assert all(bool(value.isfinite().all()) for value in values)
    assert all(bool(value.any()) for module in modules.values() for value in module.responsible.parameters())


def as_sampled(model: Any, kind: str, zsnr: bool = False) -> Any:
    """What the node ModelSamplingDiscrete gives."""
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete

    return ModelSamplingDiscrete().patch(model, kind, zsnr=zsnr)[0]


@pytest.fixture
def steered(run_node: Callable, module: Any) -> Callable[[Any], Any]:
    return lambda model: run_node("RespoApplyModule", model=model, module=module)[0]


def assert_steers(steered: Callable, sample: Callable, model: Any, **options: Any) -> None:
    plain, with_module = sample(model, **options), sample(steered(model), **options)
    assert bool(with_module.isfinite().all())
    assert not torch.equal(with_module, plain)


def test_velocity_with_zero_terminal_snr(steered: Callable, sample: Callable, make_model: Callable) -> None:
    """NoobAI-XL's kind: at the first step there is nothing of a picture in the latent."""
    model = as_sampled(make_model(), "v_prediction", zsnr=True)
    assert_steers(steered, sample, model)
    assert_learned(trained(model))


def test_the_first_step_of_zero_terminal_snr_is_no_grey(host: SimpleNamespace) -> None:
    """The trainer's sampler divides by a signal of 2e-4 there; against the same sampler in terms of v, in float64."""
    patcher = as_sampled(patcher_of(small("sd2")), "v_prediction", zsnr=True)
    patcher.patch_model()
    unet = HostUNet(patcher, FakeClip(16, 8), None, CPU, torch.float32, (64, 64))
    assert unet.alphas_cumprod[-1] < 1e-6
    prompt, nothing = unet.encode_prompts(["a person", ""])
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    found = draw(unet, noise, prompt, nothing, 4, 1.0)
    expected = in_velocities(unet, noise, prompt, 4)
    torch.testing.assert_close(found, expected.float(), rtol=0.01, atol=0.01 * float(expected.std()))


def in_velocities(unet: HostUNet, z: Tensor, prompt: Any, steps: int) -> Tensor:
    z, alphas = z.double(), unet.alphas_cumprod.double()
    times = [round(1000 - i * 1000 / steps) - 1 for i in range(steps)]
    for now, after in zip(times, [*times[1:], None], strict=True):
        encoded = unet.encoder(z.float(), torch.full((len(z),), now), prompt)
        with torch.no_grad():
            velocity = unet._run_second_half(
                encoded.h, encoded.skips, encoded.embedding, encoded.context, unet._options(encoded.latents, None)
            ).double()
        signal, sigma = alphas[now].sqrt(), (1 - alphas[now]).sqrt()
        picture, noise = signal * z - sigma * velocity, signal * velocity + sigma * z
        kept = torch.ones(()).double() if after is None else alphas[after]
        z = kept.sqrt() * picture + (1 - kept).sqrt() * noise
    return z


def test_few_steps_without_guidance(steered: Callable, sample: Callable, make_model: Callable) -> None:
    """Distilled models: one chunk of a call, no unconditional one."""
    model = make_model()
    assert_steers(steered, sample, model, cfg=1.0)
    assert_learned(trained(model, trajectory_guidance=1.0, trajectory_steps=4))


@pytest.mark.parametrize("channels", [8, 9])
def test_inpainting_and_editing(steered: Callable, sample: Callable, make_model: Callable, channels: int) -> None:
    """9 channels: a mask and a picture beside the latent; 8: a picture. They sample, as they have the same h."""
    import comfy.model_base

    model = make_model(in_channels=channels)
    if channels == 9:
        model.model.set_inpaint()
    else:
        model.model.__class__ = comfy.model_base.SD15_instructpix2pix
        model.model.process_ip2p_image_in = lambda image: image
    assert_steers(steered, sample, model)
    with pytest.raises(RespoError, match=rf"takes {channels} \(an inpainting or editing model\)\. Use its base model"):
        trained(model)


def test_the_refiner(run_node: Callable, module_for: Callable, sample: Callable, prompt: Callable) -> None:
    """Its added embedding has a score in place of the sizes."""
    import comfy.model_base
    import comfy.supported_models as models

    config = small("sd1").model_config.unet_config | {"num_classes": "sequential", "adm_in_channels": 8 + 5 * 256}
    model = patcher_of(comfy.model_base.SDXLRefiner(models.SDXLRefiner(config)))
    for parameter in model.model.diffusion_model.parameters():
        parameter.data.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    module, pooled = module_for(model, 0, (4, 4)), {"pooled_output": torch.ones(1, 8)}
    prompts = {"positive": prompt(1, **pooled), "negative": prompt(2, **pooled)}
    assert_steers(lambda plain: run_node("RespoApplyModule", model=plain, module=module)[0], sample, model, **prompts)
    assert_learned(trained(model))


def test_a_merge(steered: Callable, sample: Callable, make_model: Callable) -> None:
    """Of two models, by the host's node: both sample and train as what they are together."""
    from comfy_extras.nodes_model_merging import ModelMergeSimple

    first = make_model()
    (model,) = ModelMergeSimple().merge(first, make_model(seed=1), 0.5)
    assert_steers(steered, sample, model)
    learned, alone = trained(model), trained(first)
    assert_learned(learned)
    assert any(
        not torch.equal(a, b)
        for name in alone
        for a, b in zip(learned[name].parameters(), alone[name].parameters(), strict=True)
    )


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_eight_bits(steered: Callable, sample: Callable, make_model: Callable, dtype: torch.dtype) -> None:
    import comfy.ops

    model = make_model()
    for layer in model.model.diffusion_model.modules():
        if isinstance(layer, comfy.ops.CastWeightBiasOp) and isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            layer.comfy_cast_weights = True
            layer.to(dtype)
    assert_steers(steered, sample, model)
    assert_learned(trained(model))


class Bytes(torch.nn.Module):
    """A linear layer as the GGUF pack keeps it: bytes, unpacked at each pass."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.scale = layer.weight.abs().max() / 127
        self.weight = torch.nn.Parameter((layer.weight / self.scale + 128).to(torch.uint8), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.linear(x, (self.weight.to(x) - 128) * self.scale)


def test_quantised_weights_sample_and_are_not_trained(
    steered: Callable, sample: Callable, make_model: Callable
) -> None:
    model = make_model()
    attention = model.model.diffusion_model.middle_block[1].transformer_blocks[0].attn1
    attention.to_q = Bytes(attention.to_q)
    assert_steers(steered, sample, model)
    with pytest.raises(RespoError, match=r"found 1 quantised ones, as of a GGUF file .*Use the model's \.safetensors"):
        trained(model)
