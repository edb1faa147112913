from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_unet import AttentiveUNet, ToyUNet

from respo_train.latents.randomness import keyed_noise
from respo_train.objectives import OBJECTIVES
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.team import Team
from respo_train.trainer import gradients, settings_of, start, train

KINDS = [{"kind": "grid"}, {"kind": "channel"}, {"kind": "low_rank", "rank": 2}, {"kind": "grid", "grid": [2, 3]}]


def config(**changes: Any) -> TrainConfig:
    quick = {"steps": 60, "batch": 4, "pictures": 12, "picture_steps": 4, "picture_guidance": 1.0}
    return read_config("gender", {**quick, "responsible_lr": 0.03, **changes}, "sdisc")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(8, 8), (8, 12)])
def test_one_step_restated(kind: dict[str, Any], size: tuple[int, int]) -> None:
    unet = AttentiveUNet(size=size)
    setting = settings_of(config(**kind), unet)["woman"]
    state = start(setting)
    generator = torch.Generator().manual_seed(5)
    for parameter in state.module.parameters():
        parameter.data.normal_(0, 0.1, generator=generator)
    batch = state.source.batch(3, unet.alphas_cumprod)
    assert batch.noise.shape == (4, 4, *size)
    assert all(torch.equal(batch.noise[row], keyed_noise((4, *size), "0 woman", "noise", 3, row)) for row in range(4))
    encoded = unet.encoder(batch.latents, batch.timesteps, unet.encode_prompts(["a person"])[0])
    added = state.module.responsible.resized(size[0] // 2, size[1] // 2)
    expected = ((unet.decoder(encoded, encoded.h + added) - batch.noise) ** 2).mean()
    wanted = torch.autograd.grad(expected, list(state.module.responsible.parameters()))

    losses = gradients(setting, state, 3)
    assert losses == {"responsible": pytest.approx(expected.item(), rel=1e-6), "semantic": 0.0}
    for parameter, gradient in zip(state.module.responsible.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
        assert gradient.abs().max() > 0
    assert all(parameter.grad is None for parameter in state.module.semantic.parameters())


def loss(unet: ToyUNet, state: Any, delta: Tensor | float) -> float:
    """The mean loss over many batches that training has not seen."""
    prompt = unet.encode_prompts(["a person"])[0]
    errors = []
    for step in range(1000, 1040):
        batch = state.source.batch(step, unet.alphas_cumprod)
        encoded = unet.encoder(batch.latents, batch.timesteps, prompt)
        errors.append((unet.decoder(encoded, encoded.h + delta) - batch.noise).square().mean().item())
    return sum(errors) / len(errors)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_training_lowers_the_loss(kind: dict[str, Any]) -> None:
    unet = AttentiveUNet()
    for state in train(config(**kind), unet).concepts.values():
        delta = state.module.responsible.resized(4, 4).detach()
        assert loss(unet, state, delta) < 0.97 * loss(unet, state, 0.0)
        assert state.module.semantic.value().abs().max() == 0


def test_same_seed_same_bytes_whether_drawn_or_read(tmp_path: Path) -> None:
    runs = [train(config(steps=5, seed=seed), ToyUNet(), folder=tmp_path).modules() for seed in (0, 0, 1)]
    first, again, other = ([module.responsible.value() for module in run.values()] for run in runs)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_two_processes_halve_the_batch() -> None:
    unet = ToyUNet()
    found = []
    for team in (Team(), Team(0, 2), Team(1, 2)):
        setting = settings_of(config(), unet, team)["man"]
        state = start(setting)
        gradients(setting, state, 2)
        found.append(state.module.responsible.full.grad)
    torch.testing.assert_close((found[1] + found[2]) / 2, found[0])
    assert not torch.equal(found[1], found[2])


def test_added_to_the_conditional_half() -> None:
    assert {name: objective.half for name, objective in OBJECTIVES.items()} == {
        "respodiff": "cond",
        "sdisc": "cond",
        "where": "both",
    }
