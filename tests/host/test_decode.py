"""Pictures from latents, with the host's autoencoder or without any."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import safetensors.torch
import torch

from respo_train.host.load import load_unet

EMOJI_WORLD = Path(__file__).resolve().parents[2] / "emoji_world" / "checkpoint" / "emoji_world.safetensors"


def test_pictures_of_latents(host: SimpleNamespace) -> None:
    pictures = load_unet(EMOJI_WORLD, "float32").decode(torch.zeros(2, 4, 16, 16))
    assert pictures is not None
    assert pictures.shape == (2, 3, 128, 128)
    assert 0 <= pictures.min() <= pictures.max() <= 1


def test_a_checkpoint_without_autoencoder_gives_no_pictures(host: SimpleNamespace, tmp_path: Path) -> None:
    weights = safetensors.torch.load_file(EMOJI_WORLD)
    parts = {key: value for key, value in weights.items() if not key.startswith("first_stage_model.")}
    assert len(parts) < len(weights)
    safetensors.torch.save_file(parts, tmp_path / "bare.safetensors")
    assert load_unet(tmp_path / "bare.safetensors", "float32").decode(torch.zeros(1, 4, 16, 16)) is None


def test_the_unet_is_brought_back_after_decoding(host: SimpleNamespace) -> None:
    import comfy.model_management as management

    unet = load_unet(EMOJI_WORLD, "float32")
    management.unload_all_models()
    unet.decode(torch.zeros(1, 4, 16, 16))
    assert any(loaded.model is unet._patcher for loaded in management.current_loaded_models)


def test_the_unet_is_brought_back_after_encoding(host: SimpleNamespace) -> None:
    """On a small card the text encoder pushes it out; then the first pass would find it in main memory."""
    import comfy.model_management as management

    unet = load_unet(EMOJI_WORLD, "float32")
    management.unload_all_models()
    unet.encode_prompts(["a person", "a woman"])
    assert any(loaded.model is unet._patcher for loaded in management.current_loaded_models)
