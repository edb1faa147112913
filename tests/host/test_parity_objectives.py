"""What the trainer does in a step, on the host's U-Net, is what the papers say, restated on diffusers' U-Net."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

if sys.version_info < (3, 11):
    pytest.skip("no diffusers for this Python goes with the pinned packages", allow_module_level=True)

from host.test_split_unet import patcher_of
from parity import restated
from parity.scheduler import scheduler
from parity.stacks import Stacks, WordClip, relative, sd15, sdxl

from respo_train.host.split_unet import HostUNet
from respo_train.latents.randomness import keyed_noise
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import configure
from respo_train.trainer import ConceptState, gradients, settings_of, start

CLOSE = 1e-5
WIDTH = 16
SIZE = 128, 128  # of the pictures, in pixels


@pytest.fixture(scope="module")
def sd1(host: SimpleNamespace) -> Stacks:
    return sd15()


@pytest.fixture(scope="module")
def xl(host: SimpleNamespace) -> Stacks:
    return sdxl()


def trainers(stacks: Stacks, scale: float = 1.0) -> HostUNet:
    """The trainer's view of the host's model."""
    patcher = patcher_of(stacks.model)
    return HostUNet(patcher, WordClip(WIDTH, scale), None, torch.device("cpu"), torch.float32, SIZE)


def encoded(text: str, scale: float = 1.0) -> SimpleNamespace:
    clip = WordClip(WIDTH, scale)
    found = clip.encode_from_tokens(clip.tokenize(text), True, True)
    return SimpleNamespace(context=found["cond"], pooled=found["pooled_output"], size=SIZE)


def begun(settings: TrainConfig, stacks: Stacks, name: str, scale: float = 1.0) -> tuple[Any, ConceptState]:
    """A concept's state whose module holds random numbers. `scale`: of the prompts' vectors."""
    setting = settings_of(settings, trainers(stacks, scale))[name]
    state = start(setting)
    generator = torch.Generator().manual_seed(5)
    for parameter in state.module.parameters():
        parameter.data.normal_(0, 3, generator=generator)
    return setting, state


_CHOICES = ("purpose", "target_from", "semantic_target", "trajectory_guidance", "snr_gamma")


def asked_of(settings: TrainConfig, name: str, xl: bool) -> tuple[SimpleNamespace, SimpleNamespace]:
    """The prompts and the numbers of a step, read from what the preset says."""
    texts = {key: concept.asked for key, concept in settings.concepts.items()}
    own = {"neutral": encoded(settings.of(name, "neutral")), "target": encoded(texts[name]), "uncond": encoded("")}
    prompts = SimpleNamespace(**own, others=[encoded(text) for key, text in texts.items() if key != name])
    if not xl:
        for prompt in (prompts.neutral, prompts.target, prompts.uncond, *prompts.others):
            prompt.pooled = None
    how = {"guidance": settings.of(name, "target_guidance"), "lambda_": settings.of(name, "semantic_weight")}
    chosen = {key: getattr(settings, key) for key in _CHOICES} | {"scheduler": scheduler(10)}
    return prompts, SimpleNamespace(**how, **chosen)


GENDER = {"neutral": "a person", "concepts": {"woman": {"target": "a woman"}, "man": {"target": "a man"}}}
RACE = {"neutral": "a person", "concepts": {x: {"target": f"a {x}-race person"} for x in ("asian", "black", "white")}}
SAFETY = {"neutral": "a scene", "concepts": {"violence": {"negative": "violence"}}}
SAFETY |= {"purpose": "safety", "attribute": "safety"}


def made(preset: dict[str, Any], recipe: str, **changes: Any) -> TrainConfig:
    common = {"attribute": "some", "purpose": "fairness", "trajectory_steps": 10, "grid": [2, 2]}
    return configure({**common, **preset, **changes}, "here", recipe=recipe)


@pytest.mark.parametrize(
    ("preset", "recipe", "changes"),
    [
        (GENDER, "released", {}),
        (GENDER, "released", {"lambda": 0.5, "batch": 3}),
        (GENDER, "released", {"target_from": "neutral", "batch": 2}),
        (RACE, "released", {"batch": 2, "lambda": 0.3}),
        (SAFETY, "released", {"target_guidance": 12.0, "batch": 2}),
        (GENDER, "respo", {}),
        (RACE, "respo", {"lambda": 4.0, "batch": 4}),
        (GENDER, "respo", {"snr_gamma": 0.5, "batch": 4}),
    ],
)
def test_losses_and_gradients_of_respodiff(sd1: Stacks, preset, recipe: str, changes: dict[str, Any]) -> None:
    settings = made(preset, recipe, **changes)
    name = next(iter(settings.concepts))
    setting, state = begun(settings, sd1, name)
    compare(sd1, settings, name, setting, state)


def test_losses_and_gradients_of_respodiff_on_sdxl(xl: Stacks) -> None:
    settings = made(GENDER, "released", batch=2, grid=[4, 4])
    setting, state = begun(settings, xl, "man")
    compare(xl, settings, "man", setting, state)


def compare(stacks: Stacks, settings: TrainConfig, name: str, setting: Any, state: ConceptState) -> None:
    """One step of the trainer beside the restated one, on the trainer's latents; then where the trajectory goes."""
    z, t = state.source.latents.clone(), state.source.current_timesteps.clone()
    prompts, how = asked_of(settings, name, setting.prompts.neutral.added is not None)
    module = state.module
    ram, sam = module.responsible.full.detach(), module.semantic.full.detach()
    wanted = restated.respodiff(stacks, z, t, prompts, ram, sam, how)
    losses = gradients(setting, state, 0)
    assert losses["responsible"] == pytest.approx(wanted.loss_responsible.item(), rel=CLOSE)
    assert losses["semantic"] == pytest.approx(wanted.loss_semantic.item(), rel=CLOSE)
    assert relative(module.responsible.full.grad, wanted.grad_ram) < CLOSE
    assert relative(module.semantic.full.grad, wanted.grad_sam) < CLOSE
    ddim = scheduler(settings.trajectory_steps)
    for row in range(len(z)):
        # A finished picture has given way to fresh noise.
        if t[row] != ddim.timesteps[-1]:
            after = ddim.step(wanted.guided[row : row + 1], int(t[row]), z[row : row + 1]).prev_sample
            assert relative(state.source.latents[row : row + 1], after) < CLOSE


def test_first_latents_are_those_of_the_neutral_prompt(sd1: Stacks) -> None:
    """Trajectory b of B starts b K / B DDIM steps below its fresh noise, drawn with the neutral prompt, guidance 3."""
    settings = made(GENDER, "respo", batch=5)
    setting = settings_of(settings, trainers(sd1))["woman"]
    noise = torch.stack([keyed_noise((4, 16, 16), setting.key, row, 0) for row in range(5)])
    latents, timesteps = (found := start(setting).source).latents, found.current_timesteps
    prompts, _ = asked_of(settings, "woman", False)
    for row, z in enumerate(noise.split(1)):
        ddim = scheduler(10)
        for t in ddim.timesteps[: 2 * row]:
            with torch.no_grad():
                uncond, cond = (sd1.predict(z, t.view(1), p.context) for p in (prompts.uncond, prompts.neutral))
            z = ddim.step(uncond + 3 * (cond - uncond), t, z).prev_sample
        assert timesteps[row] == ddim.timesteps[2 * row]
        # Differences add up on the way.
        assert relative(latents[row : row + 1], z) < 1e-4
        assert row == 0 or relative(latents[row : row + 1], noise[row : row + 1]) > 0.05


def test_whole_steps_of_the_released_recipe(sd1: Stacks) -> None:
    """From fresh noise on: losses, Adam's steps and the trajectory, which has both parts in it.

    From a module of random numbers, as the released code starts from one: at zero SAM's gradient is mere rounding.
    """
    settings = made(GENDER, "released")
    setting, state = begun(settings, sd1, "woman")
    prompts, how = asked_of(settings, "woman", False)
    ddim = scheduler(settings.trajectory_steps)
    z = state.source.latents.clone()
    ram, sam = (part.full.detach().clone() for part in (state.module.responsible, state.module.semantic))
    rates = 1e-2, 1e-4
    adams = [restated.Adam(rate) for rate in rates]
    for step, t in enumerate(ddim.timesteps[:4]):
        wanted = restated.respodiff(sd1, z, t.view(1), prompts, ram, sam, how)
        losses = gradients(setting, state, step)
        for optimizer in state.optimizers.values():
            optimizer.step()
        assert losses["responsible"] == pytest.approx(wanted.loss_responsible.item(), rel=1e-4)
        assert losses["semantic"] == pytest.approx(wanted.loss_semantic.item(), rel=1e-4)
        ram, sam = adams[0].moved(ram, wanted.grad_ram), adams[1].moved(sam, wanted.grad_sam)
        z = ddim.step(wanted.guided, t, z).prev_sample
        # Adam makes steps of full size of the smallest gradients, rounding included: within a hundredth of a step.
        for part, own, rate in zip((state.module.responsible, state.module.semantic), (ram, sam), rates, strict=True):
            assert (part.full.detach() - own).abs().max() < 0.01 * rate * (step + 1)
        assert relative(state.source.latents, z) < 1e-4


QUICK = {"batch": 3, "pictures": 4, "picture_steps": 2, "picture_guidance": 1.0}


def test_a_step_of_sdisc(sd1: Stacks) -> None:
    settings = made(GENDER, "sdisc", **QUICK)
    setting, state = begun(settings, sd1, "woman")
    batch = state.source.batch(2, setting.unet.alphas_cumprod)
    alpha = scheduler(10).alphas_cumprod[batch.timesteps].view(-1, 1, 1, 1)
    # The batch is pictures with noise in them as diffusers would put it there.
    pictures = (batch.latents - (1 - alpha).sqrt() * batch.noise) / alpha.sqrt()
    again = scheduler(10).add_noise(pictures, batch.noise, batch.timesteps)
    assert relative(batch.latents, again) < CLOSE
    assert any(relative(pictures[:1], own[None].float()) < 1e-3 for own in state.source.latents)
    v = state.module.responsible.full.detach()
    loss, grad = restated.sdisc(sd1, batch.latents, batch.timesteps, batch.noise, encoded("a person"), v)
    assert gradients(setting, state, 2)["responsible"] == pytest.approx(loss.item(), rel=CLOSE)
    assert relative(state.module.responsible.full.grad, grad) < CLOSE


OFF = {"suppress": False, "attenuate": False, "weigh": False, "tau": 0.5, "beta": 0.4, "layers": "all"}
DIFFERENT = 3.0  # words so different that there are pixels on both sides of the threshold
PARTS = [
    {},
    {"suppress": True},
    {"suppress": True, "layers": "last", "tau": 0.3},
    {"suppress": True, "tau": 0.7},
    {"attenuate": True},
    {"weigh": True},
    {"weigh": True, "beta": 0.2},
    {"suppress": True, "attenuate": True, "weigh": True},
]


@pytest.mark.parametrize("changes", PARTS)
def test_a_step_of_where(sd1: Stacks, changes: dict[str, Any]) -> None:
    parts = {**OFF, **changes}
    settings = made(GENDER, "where", **QUICK, where=parts, grid=None, kind="channel")
    setting, state = begun(settings, sd1, "woman", DIFFERENT)
    batch = state.source.batch(2, setting.unet.alphas_cumprod)
    # Both prompts are a begin, two words and ends; what "a woman" has more than "a person" is its second word.
    words = {"neutral_words": [1, 2], "attribute": [2]}
    prompts = SimpleNamespace(neutral=encoded("a person", DIFFERENT), target=encoded("a woman", DIFFERENT), **words)
    chosen = {key: parts[key] for key in ("suppress", "attenuate", "weigh", "tau", "beta")}
    how = SimpleNamespace(**chosen, where=parts["layers"], encoding=7, layers=16)
    v = state.module.responsible.full.detach()
    loss, grad, seen = restated.where(sd1, batch.latents, batch.timesteps, batch.noise, prompts, v, how)
    assert gradients(setting, state, 2)["responsible"] == pytest.approx(loss.item(), rel=CLOSE)
    assert relative(state.module.responsible.full.grad, grad) < CLOSE
    # There was something to see: heat from 0 to 1, and pixels on both sides of the threshold.
    assert (seen.heat.min(), seen.heat.max()) == (0, 1)
    assert len(seen.masks) == (0 if not parts["suppress"] else 1 if parts["layers"] == "last" else 16)
    if parts["suppress"]:
        share = torch.cat([mask.flatten() for mask in seen.masks]).float().mean()
        assert 0.01 < share < 0.99


def test_every_part_of_where_is_felt(sd1: Stacks) -> None:
    losses = []
    for changes in PARTS:
        settings = made(GENDER, "where", **QUICK, where={**OFF, **changes}, grid=None, kind="channel")
        losses.append(gradients(*begun(settings, sd1, "woman", DIFFERENT), 2)["responsible"])
    assert len({round(loss, 4) for loss in losses}) == len(PARTS)


def test_the_noise_schedule_is_stable_diffusions(sd1: Stacks) -> None:
    expected: Tensor = scheduler(50).alphas_cumprod
    torch.testing.assert_close(trainers(sd1).alphas_cumprod, expected, rtol=1e-5, atol=1e-8)
