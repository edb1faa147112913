"""The trainer on the real host: its loader's refusals, and a few steps on Emoji World."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from respo_train.core.errors import RespoError
from respo_train.host.load import load_unet
from respo_train.host.split_unet import HostUNet
from respo_train.objectives.respodiff import responsible_loss, steered
from respo_train.settings.preset_files import read_config
from respo_train.trainer import TrainState, train

ROOT = Path(__file__).resolve().parents[2]
EMOJI_WORLD = ROOT / "emoji_world" / "checkpoint" / "emoji_world.safetensors"


def few_steps(unet: HostUNet, **changes: Any) -> TrainState:
    return train(read_config("gender", {"steps": 6, "batch": 4, "trajectory_steps": 8, **changes}), unet)


def tensors(state: TrainState) -> list[Tensor]:
    return [parameter.detach() for module in state.modules().values() for parameter in module.parameters()]


def test_emoji_world_trains(unet: HostUNet) -> None:
    assert unet.architecture.family == "emoji_world"
    assert unet.latent_shape == (4, 16, 16)
    frozen = {key: value.clone() for key, value in unet._patcher.model.diffusion_model.state_dict().items()}
    state = few_steps(unet, steps=12)
    person, *targets = unet.encode_prompts(["a person", "a woman", "a man"])
    for concept, towards, away in zip(state.concepts.values(), targets, reversed(targets), strict=True):
        assert concept.module.responsible.value().shape == (128, 8, 8)
        # With and without the module on the same latents: losses of successive steps are of different ones.
        latents, timesteps = concept.source.latents, concept.source.current_timesteps
        encoded = [unet.encoder(latents, timesteps, prompt) for prompt in (person, towards, away)]
        neutral, wanted, unwanted = (unet.decoder(half, half.h) for half in encoded)
        target = steered(neutral, wanted, unwanted, 2.0)
        student = unet.decoder(encoded[0], encoded[0].h + concept.module.towards(encoded[0].h))
        assert responsible_loss(student, target) < 0.95 * responsible_loss(neutral, target)
    assert all(parameter.abs().max() > 0 for parameter in tensors(state))
    assert all(torch.equal(v, frozen[k]) for k, v in unet._patcher.model.diffusion_model.state_dict().items())


def test_same_seed_same_bytes_on_emoji_world(unet: HostUNet) -> None:
    first, again, other = (tensors(few_steps(unet, steps=2, seed=seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_target_prompt_moves_h(unet: HostUNet) -> None:
    """What there is to learn: "a woman" and "a man" give other bottlenecks than "a person"."""
    prompts = unet.encode_prompts(["a person", "a woman", "a man", "a person"])
    latents, timesteps = torch.randn(4, 4, 16, 16), torch.tensor([900, 700, 500, 300])
    person, woman, man, again = (unet.encoder(latents, timesteps, prompt).h for prompt in prompts)
    assert torch.equal(person, again)
    for other in (woman, man):
        assert (other - person).norm() > 0.02 * person.norm()


@pytest.mark.parametrize("content", ["text", "junk", "module"])
def test_files_that_are_no_checkpoint(host: SimpleNamespace, tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.safetensors"
    if content == "text":
        path.write_text("not a checkpoint at all")
    elif content == "junk":
        safetensors.torch.save_file({"a": torch.zeros(3)}, path)
    else:
        safetensors.torch.save_file({"woman.responsible": torch.zeros(128, 8, 8)}, path)
    with pytest.raises(RespoError, match=r"ComfyUI cannot load model\.safetensors") as caught:
        load_unet(path)
    assert "\n" not in str(caught.value)
