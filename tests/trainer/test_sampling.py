"""Many prompts in one pass are what they are alone."""

from __future__ import annotations

import pytest
import torch
from toy_unet import CHANNELS, ToyUNet

from respo_train.latents.sampling import predict, predict_many
from respo_train.network import Conditioning


@pytest.mark.parametrize("prompts", [["a person"], ["a person", "", "a woman", "a man"]])
def test_many_prompts_at_once_equal_one_by_one(prompts: list[str]) -> None:
    unet = ToyUNet()
    latents, timesteps = torch.randn(3, *unet.latent_shape), torch.tensor([900, 500, 20])
    encoded = unet.encode_prompts(prompts)
    found, first = predict_many(unet, latents, timesteps, encoded)
    assert len(unet.seen) == 1
    expected = [predict(unet, latents, timesteps, prompt) for prompt in encoded]
    assert len(found) == len(prompts)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(unet.decoder(first, first.h), expected[0])
    assert first.h.shape == (3, CHANNELS, 4, 4)
    assert torch.equal(first.latents, latents)
    assert torch.equal(first.timesteps, timesteps)


def test_the_first_half_of_many_can_be_trained_on_and_keeps_nothing_else() -> None:
    unet = ToyUNet()
    latents = torch.randn(2, *unet.latent_shape)
    _, first = predict_many(unet, latents, torch.tensor([900, 20]), unet.encode_prompts(["a person", "", "a man"]))
    for kept in (first.h, *first.skips):
        assert kept.untyped_storage().nbytes() == kept.numel() * kept.element_size()
    delta = torch.zeros(CHANNELS, 4, 4, requires_grad=True)
    unet.decoder(first, first.h + delta).square().mean().backward()
    assert delta.grad is not None
    assert delta.grad.abs().max() > 0


def test_prompts_of_unequal_length_go_one_by_one() -> None:
    class Long(ToyUNet):
        def encoder(self, latents, timesteps, conditioning, hook=None):  # type: ignore[no-untyped-def]
            mean = Conditioning(conditioning.context.mean(1, keepdim=True))
            return super().encoder(latents, timesteps, mean, hook)

    unet = Long()
    latents, timesteps = torch.randn(2, *unet.latent_shape), torch.tensor([900, 20])
    short, other = unet.encode_prompts(["a person", "a very long prompt"])
    long = Conditioning(torch.cat([other.context, short.context], dim=1))
    found, first = predict_many(unet, latents, timesteps, [short, long])
    for a, prompt in zip(found, (short, long), strict=True):
        assert torch.equal(a, predict(unet, latents, timesteps, prompt))
    assert torch.equal(unet.decoder(first, first.h), found[0])
