"""ComfyUI's own classes compute with the shipped file exactly what the networks that were trained compute."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from emoji_world.sample import World

CHECKPOINT = Path(__file__).resolve().parents[2] / "emoji_world" / "checkpoint" / "emoji_world.safetensors"


@pytest.fixture(scope="module")
def ours(comfy_path: Path) -> World:
    return World(CHECKPOINT, comfy_path / "comfy" / "sd1_tokenizer")


@pytest.fixture(scope="module")
def loaded(pack: SimpleNamespace) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE, as the stock loader opens the file once the pack is there."""
    import comfy.sd
    import comfy.supported_models

    from respo_train.host import emoji_world_model

    emoji_world_model.register()  # under another name than the pack's: must not make a second entry
    assert [m.__name__ for m in comfy.supported_models.models].count("EmojiWorld") == 1
    model, clip, vae = comfy.sd.load_checkpoint_guess_config(str(CHECKPOINT))[:3]
    return model, clip, vae


@pytest.mark.parametrize("words", ["a photo of a doctor", "a splendid nurse, on the beach!", ""])
def test_text(ours: World, loaded: tuple[Any, Any, Any], words: str) -> None:
    clip = loaded[1]
    found = clip.encode_from_tokens(clip.tokenize(words))
    assert torch.allclose(found, ours.context([words]), atol=1e-5)


def test_noise(ours: World, loaded: tuple[Any, Any, Any]) -> None:
    latents, timesteps = torch.randn(2, 4, 16, 16), torch.tensor([500, 20])
    context = ours.context(["a doctor", "a nurse at night"])
    network = loaded[0].model.diffusion_model.float()
    with torch.inference_mode():
        found, expected = network(latents, timesteps, context), ours.denoiser.unet(latents, timesteps, context)
    assert torch.allclose(found, expected, atol=1e-4)


def test_pictures(ours: World, loaded: tuple[Any, Any, Any]) -> None:
    vae = loaded[2]
    latents = torch.randn(1, 4, 16, 16)
    pictures = vae.decode(latents / 0.18215)  # BHWC
    expected = ours.autoencoder.taesd_decoder(latents).clamp(0, 1)
    assert torch.allclose(pictures.permute(0, 3, 1, 2), expected, atol=1e-4)
    back = vae.encode(pictures) * 0.18215
    assert torch.allclose(back, ours.autoencoder.taesd_encoder(expected), atol=1e-3)
