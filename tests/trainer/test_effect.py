from __future__ import annotations

from typing import Any

import pytest
import torch
from toy_unet import CHANNELS, SIZE, ToyUNet, prompt_vector

from respo_train.core.module.concept import ConceptModule
from respo_train.objectives.objective import Setting
from respo_train.report.effect import Effect, Probe
from respo_train.settings.preset_files import configure, read_config
from respo_train.trainer import settings_of


def setting(**changes: Any) -> Setting:
    return settings_of(read_config("gender", changes), ToyUNet())["woman"]


def module(vector: torch.Tensor, semantic: float = 0.0) -> ConceptModule:
    """A module that adds `vector` to every place of h, `semantic` of it in its semantic part."""
    made = ConceptModule(CHANNELS, SIZE, SIZE)
    made.responsible.full.data[:] = (1 - semantic) * vector.view(-1, 1, 1)
    made.semantic.full.data[:] = semantic * vector.view(-1, 1, 1)
    return made


def perfect() -> torch.Tensor:
    return prompt_vector("a woman") - prompt_vector("a person")


def test_nothing_is_measured_of_nothing() -> None:
    effect = Probe(setting()).measure(module(torch.zeros(CHANNELS)))
    assert set(effect.size) == set(effect.change) == set(effect.way or [1]) == {0.0}
    assert len(effect.timesteps) == len(effect.size) == 10
    assert list(effect.timesteps) == sorted(effect.timesteps, reverse=True)
    verdict = effect.verdict() or ""
    assert verdict.startswith("hardly any effect")
    for advice in ("steps", "raise responsible_lr", "higher strength"):
        assert advice in verdict


@pytest.mark.parametrize("semantic", [0.0, 0.3])
def test_both_parts_together_go_the_whole_way_to_the_prompt(semantic: float) -> None:
    """The toy's decoder is linear in h, so that the perfect module goes as far as the prompt itself."""
    whole = Probe(setting()).measure(module(perfect(), semantic))
    half = Probe(setting()).measure(module(perfect() / 2, semantic))
    assert whole.way == pytest.approx([1.0] * 10, rel=1e-4)
    assert half.way == pytest.approx([0.5] * 10, rel=1e-4)
    assert whole.change == pytest.approx([2 * change for change in half.change], rel=1e-4)
    assert whole.size == pytest.approx([2 * size for size in half.size], rel=1e-4)
    assert whole.verdict() is None


def test_far_too_much_is_said() -> None:
    verdict = Probe(setting()).measure(module(20 * perfect())).verdict() or ""
    assert verdict.startswith("far too much")
    for advice in ("fewer steps", "lower responsible_lr", "lower strength"):
        assert advice in verdict


def test_figures_restated() -> None:
    own, unet = setting(), ToyUNet()
    probe, made = Probe(own), module(perfect())
    latents, timesteps, *_ = probe._points[3]
    encoded = unet.encoder(latents, timesteps, own.prompts.neutral)
    plain = unet.decoder(encoded, encoded.h)
    moved = unet.decoder(encoded, encoded.h + made.responsible.value()) - plain
    delta = made.responsible.value().norm()
    effect = probe.measure(made)
    assert timesteps.tolist() == [effect.timesteps[3]] * 4
    assert effect.size[3] == pytest.approx(sum((delta / h.norm()).item() for h in encoded.h) / 4, rel=1e-5)
    ratios = [(m.norm() / p.norm()).item() for m, p in zip(moved, plain, strict=True)]
    assert effect.change[3] == pytest.approx(sum(ratios) / 4, rel=1e-5)


def test_latents_are_of_the_neutral_trajectory() -> None:
    """From keyed noise with the neutral prompt alone: the same for every concept, another for another seed."""
    settings = settings_of(read_config("gender"), ToyUNet())
    woman, man, other = (Probe(own)._points for own in (settings["woman"], settings["man"], setting(seed=1)))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(woman, man, strict=True))
    assert not any(torch.equal(a[0], b[0]) for a, b in zip(woman, other, strict=True))
    assert not torch.equal(woman[0][0], woman[1][0])


def test_safety_goes_away_from_its_prompt() -> None:
    preset = {
        "attribute": "safety",
        "purpose": "safety",
        "neutral": "a scene",
        "concepts": {"no": {"negative": "a gun"}},
    }
    own = settings_of(configure(preset, "test"), ToyUNet())["no"]
    away = prompt_vector("a scene") - prompt_vector("a gun")
    assert Probe(own).measure(module(away)).way == pytest.approx([1.0] * 10, rel=1e-4)
    assert "hardly towards what was asked for" in (Probe(own).measure(module(-away)).verdict() or "")


def test_no_way_where_the_prompt_is_the_neutral_one() -> None:
    own = setting(neutral="a woman")
    effect = Probe(own).measure(module(perfect()))
    assert effect.way is None
    assert effect.verdict() is None
    assert "hardly any effect" in (Probe(own).measure(module(torch.zeros(CHANNELS))).verdict() or "")


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_far_too_much(figure: float) -> None:
    effect = Effect((9, 1), (figure, 1.0), (figure, 1.0), (figure, 1.0))
    assert "far too much" in (effect.verdict() or "")


def test_measuring_changes_nothing() -> None:
    own, made = setting(), module(perfect())
    before, random = made.responsible.full.detach().clone(), torch.get_rng_state()
    first, again = Probe(own).measure(made), Probe(own).measure(made)
    assert first == again
    assert torch.equal(made.responsible.full, before)
    assert made.responsible.full.grad is None
    assert torch.equal(torch.get_rng_state(), random)
