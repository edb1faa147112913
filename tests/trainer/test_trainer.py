from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from toy_unet import AttentiveUNet, ToyUNet

from respo_train.core.errors import RespoError
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.concept import ConceptModule
from respo_train.latents.ddim import ddim_step
from respo_train.network import Encoded
from respo_train.objectives import OBJECTIVES
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.trainer import MOST_TOKENS, TrainState, default_grid, gradients, settings_of, start, train


def config(**changes: Any) -> TrainConfig:
    quick = {"steps": 40, "batch": 4, "trajectory_steps": 8, "responsible_lr": 0.03, "semantic_lr": 1e-4}
    quick |= {"target_from": "unconditional", "target_guidance": 4.0}
    quick |= {"semantic_target": "neutral", "optimizer": "adam", "train_on": "neutral"}
    quick |= {"map_width": None, "map_lr": None, "lambda": 0.5}
    return read_config("gender", {**quick, **changes})


def tensors(state: TrainState) -> dict[str, Tensor]:
    return {f"{n}.{k}": v.clone() for n, module in state.modules().items() for k, v in module.state_dict().items()}


def test_learns_what_the_bottleneck_carries() -> None:
    unet = ToyUNet()
    state = train(config(steps=200, semantic_lr=0), unet)
    neutral, woman, man = unet.encode_prompts(["a person", "a woman", "a man"])
    uncond = unet.encode_prompts([""])[0]
    latents, timesteps = torch.randn(16, 4, 8, 8), torch.full((16,), 500)
    encoded = unet.encoder(latents, timesteps, neutral)
    for name, prompt in (("woman", woman), ("man", man)):
        losses = [loss.responsible for loss in state.concepts[name].losses]
        assert losses[-1] < 0.02 * losses[0]
        # On latents that it has never seen: 4 times the way from the unconditional to the target prediction.
        base, asked = (unet.decoder(e, e.h) for e in (unet.encoder(latents, timesteps, p) for p in (uncond, prompt)))
        wanted = base + 4 * (asked - base)
        before = F.mse_loss(unet.decoder(encoded, encoded.h), wanted)
        after = F.mse_loss(unet.decoder(encoded, encoded.h + state.modules()[name].responsible.value()), wanted)
        assert after < 0.02 * before
        assert state.modules()[name].semantic.value().abs().max() == 0


def test_semantic_part_pulls_back() -> None:
    """A semantic part that learns fast undoes the responsible one: its loss falls and the effect with it."""
    effects, losses = [], []
    for rate in (0, 0.03):
        state = train(config(steps=150, semantic_lr=rate), ToyUNet())
        effects.append(state.modules()["woman"].delta(4, 4).norm())
        losses.append(state.concepts["woman"].losses[-1].semantic)
    assert effects[1] < 0.5 * effects[0]
    assert losses[1] < 0.3 * losses[0]


def test_same_seed_same_bytes_and_frozen_network() -> None:
    unet = ToyUNet()
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    first, again = tensors(train(config(), unet)), tensors(train(config(), ToyUNet()))
    other = tensors(train(config(seed=1), ToyUNet()))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)
    assert all(value.abs().max() > 0 for value in first.values())
    assert all(torch.equal(value, before[key]) for key, value in unet.state_dict().items())


def test_number_of_threads_changes_nothing_and_stays() -> None:
    results = []
    for threads in (2, 1):
        torch.set_num_threads(threads)
        results.append(tensors(train(config(steps=5), ToyUNet())))
        assert torch.get_num_threads() == threads
    assert all(torch.equal(value, results[1][key]) for key, value in results[0].items())


@pytest.mark.parametrize("kind", [{"kind": "channel"}, {"kind": "low_rank", "rank": 2}])
def test_other_kinds_learn_too(kind: dict[str, Any]) -> None:
    state = train(config(steps=150, **kind), ToyUNet())
    losses = [loss.responsible for loss in state.concepts["man"].losses]
    assert losses[-1] < 0.2 * losses[0]


def test_a_transformers_errors_are_weighed() -> None:
    transformer = ToyUNet()
    transformer.architecture = replace(transformer.architecture, block=3)
    found, other = (tensors(train(config(steps=3, **own), transformer)) for own in ({}, {"snr_gamma": 0.5}))
    expected = tensors(train(config(steps=3, snr_gamma=0.1), ToyUNet()))
    assert all(torch.equal(value, expected[key]) for key, value in found.items())
    assert not any(torch.equal(value, expected[key]) for key, value in other.items())


def weights_at(alphas: Tensor, snr_gamma: float | None) -> Tensor:
    """What each row's squared error counts."""
    weights = torch.ones(len(alphas))
    if snr_gamma is not None:
        signal_to_noise = alphas / (1 - alphas)
        weights = torch.minimum(weights, snr_gamma / signal_to_noise)
        assert weights.min() < weights.max() == 1  # some count less, the noisiest do not
    return weights


@pytest.mark.parametrize("snr_gamma", [None, 0.3])
@pytest.mark.parametrize("target_from", ["unconditional", "neutral", "others"])
def test_one_step_restated(target_from: str, snr_gamma: float | None) -> None:
    """Losses, gradients and the next latents, written down plainly from the papers."""
    unet = ToyUNet()
    concepts = {"woman": {"target": "a woman", "snr_gamma": snr_gamma}, "man": {"target": "a man"}}
    changes = {"lambda": 0.7, "target_from": target_from, "concepts": concepts, "snr_gamma": snr_gamma and 9.0}
    settings = config(semantic_lr=0.02, trajectory_guidance=2.5, **changes)
    setting = settings_of(settings, unet)["woman"]
    prompts, state = setting.prompts, start(setting)
    generator = torch.Generator().manual_seed(5)
    for parameter in state.module.parameters():
        parameter.data.normal_(0, 0.1, generator=generator)
    responsible = state.module.responsible.full.detach().clone().requires_grad_()
    semantic = state.module.semantic.full.detach().clone().requires_grad_()
    z, t = state.source.latents.clone(), state.source.current_timesteps.clone()
    positions = list(state.source.positions)

    def predict(text: Any, delta: Tensor | float = 0.0) -> Tensor:
        encoded = unet.encoder(z, t, text)
        return unet.decoder(encoded, encoded.h + delta)

    uncond = predict(prompts.uncond)
    neutral, man = predict(prompts.neutral), predict(unet.encode_prompts(["a man"])[0])
    origin, away = {"unconditional": (uncond, uncond), "neutral": (neutral, neutral), "others": (neutral, man)}[
        target_from
    ]
    target = origin + 4.0 * (predict(prompts.target) - away)
    weights = weights_at(unet.alphas_cumprod[t], snr_gamma)
    loss_responsible = (weights * ((predict(prompts.neutral, responsible) - target) ** 2).mean((1, 2, 3))).mean()
    student = predict(prompts.neutral, responsible.detach() + semantic)
    loss_semantic = 0.7 * (weights * ((student - predict(prompts.neutral)) ** 2).mean((1, 2, 3))).mean()
    loss_responsible.backward()
    loss_semantic.backward()

    losses = gradients(setting, state, 0)
    assert losses["responsible"] == pytest.approx(loss_responsible.item(), rel=1e-5)
    assert losses["semantic"] == pytest.approx(loss_semantic.item(), rel=1e-5)
    torch.testing.assert_close(state.module.responsible.full.grad, responsible.grad)
    torch.testing.assert_close(state.module.semantic.full.grad, semantic.grad)
    state.optimizers["semantic"].step()
    # Adam's first step is the learning rate, against the sign of the gradient.
    moved = state.module.semantic.full.detach() - semantic.detach()
    torch.testing.assert_close(moved, -0.02 * semantic.grad.sign(), rtol=1e-2, atol=1e-4)
    guided = (uncond + 2.5 * (student - uncond)).detach()
    alphas = state.source.alphas
    expected = ddim_step(z, guided, alphas[positions], alphas[[p + 1 for p in positions]])
    unfinished = [b for b, p in enumerate(positions) if p + 1 < settings.trajectory_steps]
    torch.testing.assert_close(state.source.latents[unfinished], expected[unfinished])


def test_a_map_of_h_learns_with_the_responsible_part() -> None:
    """The semantic part's loss leaves it alone, and it has a rate of its own."""
    setting = settings_of(config(map_width=3, map_lr=0.5, semantic_lr=0.02), ToyUNet())["woman"]
    state = start(setting)
    assert state.optimizers.keys() == {"responsible", "semantic", "map"}
    assert state.module.map is not None
    first = next(iter(OBJECTIVES["respodiff"].terms(setting, state.module, state.source, 0)))
    assert first.part == "responsible"
    wanted = torch.autograd.grad(first.loss, state.module.map.outward)[0]
    gradients(setting, state, 0)
    torch.testing.assert_close(state.module.map.outward.grad, wanted)
    before = state.module.map.outward.detach().clone()
    state.optimizers["map"].step()
    moved = state.module.map.outward.detach() - before
    torch.testing.assert_close(moved, -0.5 * wanted.sign(), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("objective", ["respodiff", "sdisc", "where"])
def test_a_map_of_h_reaches_further_than_a_constant(objective: str) -> None:
    unet = AttentiveUNet() if objective == "where" else ToyUNet()
    quick = {"objective": objective, "steps": 100, "semantic_lr": 0.0, "pictures": 40, "picture_steps": 5}
    plain, with_map = config(**quick), config(**quick, map_width=8, map_lr=0.01)
    ends = [
        sum(loss.responsible for loss in train(one, unet).concepts["woman"].losses[-20:]) for one in (plain, with_map)
    ]
    assert ends[1] < ends[0]


class CountingUNet(ToyUNet):
    """Counts latents, not calls: several prompts may share one."""

    encoded = decoded = 0

    def encoder(self, latents: Tensor, *arguments: Any) -> Encoded:
        self.encoded += len(latents)
        return super().encoder(latents, *arguments)

    def decoder(self, encoded: Encoded, h: Tensor, *arguments: Any) -> Tensor:
        self.decoded += len(h)
        return super().decoder(encoded, h, *arguments)


@pytest.mark.parametrize(("target_from", "more"), [("unconditional", 0), ("neutral", 0), ("others", 1)])
def test_a_step_runs_three_encoders_and_five_decoders(target_from: str, more: int) -> None:
    unet, counts = CountingUNet(), []
    settings = config(steps=3, target_from=target_from)
    train(settings, unet, lambda state: counts.append((unet.encoded, unet.decoded)))
    per_step = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(counts)]
    latents = 2 * settings.batch  # of two concepts
    assert per_step == [((3 + more) * latents, (5 + more) * latents)] * 2


def test_stops_at_a_loss_that_is_not_a_number() -> None:
    class Broken(ToyUNet):
        def decoder(self, encoded: Encoded, h: Tensor) -> Tensor:
            return super().decoder(encoded, h) / 0

    with pytest.raises(RespoError, match=r"'woman' became nan.*at step 1.*lower responsible_lr"):
        train(config(), Broken())


def test_hook_sees_every_step_and_can_stop() -> None:
    seen = []

    def stop_at_three(state: TrainState) -> None:
        seen.append(state.step)
        if state.step == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(config(), ToyUNet(), stop_at_three)
    assert seen == [1, 2, 3]


def test_a_concept_may_have_its_own_recipe() -> None:
    own = {"woman": {"target": "a woman"}, "man": {"target": "a man", "target_guidance": 8.0, "semantic_lr": 0.0}}
    settings = config(concepts=own)
    assert [settings.of(name, "target_guidance") for name in own] == [4.0, 8.0]
    state = train(settings, ToyUNet())
    assert state.modules()["man"].semantic.value().abs().max() == 0
    assert state.modules()["woman"].semantic.value().abs().max() > 0


@pytest.mark.parametrize("weight", [0.0, 0.5, 4.0])
def test_lambda_says_how_much_of_the_effect_is_left(weight: float) -> None:
    """With the target "between", 1 / (1 + lambda) of the way from the neutral to the target prediction is left."""
    recipe = {"steps": 400, "semantic_target": "between", "semantic_lr": 0.02, "lambda": weight}
    unet = ToyUNet()
    module = train(config(optimizer="one_scale_adam", **recipe), unet).modules()["woman"]
    full = train(config(optimizer="one_scale_adam", steps=400, semantic_lr=0), unet).modules()["woman"]
    latents, timesteps = torch.randn(16, 4, 8, 8), torch.full((16,), 500)
    encoded = unet.encoder(latents, timesteps, unet.encode_prompts(["a person"])[0])
    plain = unet.decoder(encoded, encoded.h)
    way, left = (unet.decoder(encoded, m(encoded.h).detach()) - plain for m in (full, module))
    assert float((left * way).sum() / way.square().sum()) == pytest.approx(1 / (1 + weight), abs=0.03)


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (5, 90), (8, 8)])
def test_a_module_for_a_transformer_is_no_larger_for_larger_pictures(rows: int, columns: int) -> None:
    tokens = Architecture("lumina2", 3840, 2560, 0, 3840, block=15)
    h = torch.empty(1, 3840, rows, columns, device="meta")
    assert default_grid(h, tokens) == (min(rows, 4), min(columns, 4))
    assert default_grid(h, replace(tokens, block=0)) == (rows, columns)


def test_a_concept_for_a_large_transformer_is_smaller_than_a_megabyte() -> None:
    module = ConceptModule(3840, MOST_TOKENS, MOST_TOKENS, "grid", None, read_config("gender").map_width)
    assert 2 * sum(own.numel() for own in module.parameters()) < 1e6  # bytes in float16, as the trainer writes them
