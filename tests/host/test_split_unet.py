"""The U-Net cut in two halves is the host's own forward."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from respo_train.core.errors import RespoError
from respo_train.host.split_unet import HostUNet
from respo_train.network import Conditioning

CPU = torch.device("cpu")
SIZES = [(16, 16), (12, 20), (9, 11)]  # the last one is odd: upsampling has to crop


class FakeClip:
    """Stands for comfy.sd.CLIP: deterministic embeddings of 4 tokens."""

    def __init__(self, width: int, pooled: int):
        self.width, self.pooled = width, pooled

    def tokenize(self, text: str) -> dict[str, list]:
        words = [len(word) for word in text.split()][:2]
        return {"l": [[(token, 1.0) for token in (-2, *words, *[-3] * (3 - len(words)))]]}

    def encode_from_tokens(self, tokens: dict[str, list], return_pooled: bool, return_dict: bool) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(sum(token for token, _ in tokens["l"][0]) + 10)
        cond = torch.randn(1, 4, self.width, generator=generator)
        return {"cond": cond, "pooled_output": torch.randn(1, self.pooled, generator=generator)}


def small(kind: str, **changes: Any) -> Any:
    """A host BaseModel with SD 1.x's, SD 2.x's (velocity) or SDXL's structure and random weights."""
    import comfy.model_base
    import comfy.supported_models as models

    sizes = {"in_channels": 4, "out_channels": 4, "model_channels": 32, "channel_mult": (1, 2, 4), "image_size": 32}
    depth = {"num_res_blocks": [1, 1, 1], "transformer_depth": [0, 1, 1], "transformer_depth_middle": 1}
    depth["transformer_depth_output"] = [0, 0, 1, 1, 1, 1]
    config = {**sizes, **depth, "use_spatial_transformer": True, "legacy": False, "context_dim": 16, "num_heads": 4}
    config |= {"dtype": torch.float32, **changes}
    if kind == "sdxl":
        config |= {"num_classes": "sequential", "adm_in_channels": 8 + 6 * 256, "use_linear_in_transformer": True}
        model = comfy.model_base.SDXL(models.SDXL(config))
    else:
        velocity = comfy.model_base.ModelType.V_PREDICTION if kind == "sd2" else comfy.model_base.ModelType.EPS
        model = comfy.model_base.BaseModel(models.SD15(config), velocity)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.diffusion_model.parameters():
        parameter.data.normal_(0, 0.05, generator=generator)
    return model


def split(model: Any, dtype: torch.dtype = torch.float32) -> HostUNet:
    return HostUNet(patcher_of(model), FakeClip(16, 8), None, CPU, dtype)


def patcher_of(model: Any) -> Any:
    from comfy.model_patcher import ModelPatcher

    return ModelPatcher(model, CPU, CPU)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_equals_stock_forward(host: SimpleNamespace, kind: str, size: tuple[int, int]) -> None:
    model = small(kind)
    unet = split(model)
    latents, timesteps = torch.randn(3, 4, *size), torch.tensor([999, 500, 0])
    (prompt,) = unet.encode_prompts(["a person"])
    encoded = unet.encoder(latents, timesteps, prompt)
    found = unet.decoder(encoded, encoded.h)
    added = None if prompt.added is None else prompt.added.expand(3, -1)
    with torch.no_grad():
        expected = model.diffusion_model(latents, timesteps.float(), prompt.context.expand(3, -1, -1), added)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["sd1", "sd2"])
def test_noise_is_what_the_host_samples_with(host: SimpleNamespace, kind: str) -> None:
    """The host's own x, sigma and denoised give the same noise: the timestep and the latent agree."""
    model = small(kind)
    unet = split(model)
    (prompt,) = unet.encode_prompts(["a person"])
    for timestep in (999, 421, 20):
        sigma = model.model_sampling.sigmas[timestep]
        x = torch.randn(1, 4, 16, 16) * (1 + sigma.square()).sqrt()
        with torch.no_grad():
            denoised = model.apply_model(x, sigma[None], c_crossattn=prompt.context)
        latents = x * unet.alphas_cumprod[timestep].sqrt()
        encoded = unet.encoder(latents, torch.tensor([timestep]), prompt)
        torch.testing.assert_close(unet.decoder(encoded, encoded.h), (x - denoised) / sigma, rtol=1e-3, atol=1e-4)


def test_h_is_where_the_nodes_add_theirs(host: SimpleNamespace) -> None:
    model = small("sd1")
    unet = split(model)
    latents, timesteps = torch.randn(2, 4, 16, 16), torch.tensor([700, 30])
    (prompt,) = unet.encode_prompts(["a person"])
    delta = torch.randn(128, 4, 4)

    def patch(h: Tensor, skip: Tensor, options: dict) -> tuple[Tensor, Tensor]:
        return (h + delta if options["block"] == ("output", 0) else h), skip

    options = {"patches": {"output_block_patch": [patch]}}
    with torch.no_grad():
        context = prompt.context.expand(2, -1, -1)
        expected = model.diffusion_model(latents, timesteps.float(), context, transformer_options=options)
    encoded = unet.encoder(latents, timesteps, prompt)
    torch.testing.assert_close(unet.decoder(encoded, encoded.h + delta), expected, rtol=1e-5, atol=1e-6)


def test_gradients_reach_h_and_nothing_else(host: SimpleNamespace) -> None:
    model = small("sd1")
    unet = split(model)
    (prompt,) = unet.encode_prompts(["a person"])
    encoded = unet.encoder(torch.randn(1, 4, 16, 16), torch.tensor([500]), prompt)
    assert not encoded.h.requires_grad
    delta = torch.zeros(128, 4, 4, requires_grad=True)
    unet.decoder(encoded, encoded.h + delta).square().mean().backward()
    assert delta.grad is not None
    assert delta.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in model.diffusion_model.parameters())


def test_bfloat16_is_close_and_returns_float32(host: SimpleNamespace) -> None:
    model = small("sd1")
    latents, timesteps = torch.randn(2, 4, 16, 16), torch.tensor([700, 30])
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        unet = split(model, dtype)
        (prompt,) = unet.encode_prompts(["a person"])
        encoded = unet.encoder(latents, timesteps, prompt)
        results.append(unet.decoder(encoded, encoded.h))
    assert results[1].dtype == torch.float32
    assert (results[0] - results[1]).norm() < 0.02 * results[0].norm()


def test_works_under_inference_mode(host: SimpleNamespace) -> None:
    """A node loads and encodes in inference mode; the prompts can be trained with all the same."""
    unet = split(small("sdxl"))
    with torch.inference_mode():
        made_inside = unet.encode_prompts(["a person"])[0]
    assert isinstance(made_inside, Conditioning)
    assert not made_inside.context.is_inference()
    assert made_inside.added is not None
    assert not made_inside.added.is_inference()


def test_refuses_what_cannot_be_trained(host: SimpleNamespace) -> None:
    import comfy.model_base
    import comfy.supported_models as models

    with pytest.raises(RespoError, match="inpainting"):
        split(small("sd1", in_channels=9))
    with pytest.raises(RespoError, match="middle block removed"):
        split(small("sd1", transformer_depth_middle=-2))
    edm = small("sd1")
    edm.model_sampling = comfy.model_base.model_sampling(edm.model_config, comfy.model_base.ModelType.EDM)
    with pytest.raises(RespoError, match="noise schedule"):
        split(edm)
    unknown = SimpleNamespace(model_config=models.WAN21_T2V({"image_model": "wan2.1"}), diffusion_model=nn.Identity())
    with pytest.raises(RespoError, match=r"these transformers: Lumina 2 .* This model is a Identity"):
        split(unknown)
