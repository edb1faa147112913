from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import Tensor
from toy_unet import AttentiveUNet, ToyUNet

from respo_train.core.errors import RespoError
from respo_train.core.pictures.attention import attend, attention_weights, fitted, margin_score, normalised, word_places
from respo_train.objectives.attention import HeatMap, Suppress, attribute_places
from respo_train.objectives.localised import attenuation, shown, weighted_loss
from respo_train.objectives.objective import Setting
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import configure, read_config
from respo_train.team import Team
from respo_train.trainer import ConceptState, gradients, settings_of, start, train

OFF = {"suppress": False, "attenuate": False, "weigh": False}


def config(parts: dict[str, Any], recipe: str = "where", **changes: Any) -> TrainConfig:
    quick = {"steps": 60, "batch": 4, "pictures": 12, "picture_steps": 4, "picture_guidance": 1.0}
    return read_config("gender", {**quick, "responsible_lr": 0.03, "where": parts, **changes}, recipe)


def begun(unet: ToyUNet, parts: dict[str, Any], **changes: Any) -> tuple[Setting, ConceptState]:
    """A setting and a state whose module is random."""
    setting = settings_of(config(parts, **changes), unet)["woman"]
    state = start(setting)
    generator = torch.Generator().manual_seed(5)
    for parameter in state.module.parameters():
        parameter.data.normal_(0, 0.1, generator=generator)
    return setting, state


def test_attribute_words() -> None:
    begin, end = None, None
    photo_woman, person = (begin, 1, 2, 3, 1, 9, end, end), (begin, 1, 7, end)
    assert word_places(photo_woman) == [1, 2, 3, 4, 5]
    assert attribute_places((begin, 1, 9, end), person) == [2]
    # Of two "a" only as many are known as the neutral prompt has.
    assert attribute_places(photo_woman, person) == [2, 3, 4, 5]
    assert attribute_places(photo_woman, (begin, 1, 2, 3, 1, 7, end, end)) == [5]
    assert attribute_places((begin, 1, 4, 5, 4, 7, end), person) == [2, 3, 4]
    assert attribute_places(person, (*photo_woman[:5], 7)) == []


def test_margin_score_by_hand() -> None:
    neutral, attribute = torch.tensor([3.0, 1.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 3.0, 2.0, 0.0])
    assert margin_score(neutral, attribute).tolist() == [0.25, 0.5, 0.75, 1.0, 0.5]


def test_attenuation_by_hand() -> None:
    found = attenuation(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(found, torch.tensor([1 / (1 + np.exp(-5)), 0.5, 1 / (1 + np.exp(5))]).float())


def test_weighted_loss_by_hand() -> None:
    predicted, noise = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    heat = torch.tensor([[0.0, 0.5], [1.0, 0.0]])
    found = weighted_loss(predicted[None, None], noise[None, None], heat[None, None], 0.4)
    assert found.item() == pytest.approx((0 + 1.2 * 1 + 1.4 * 4 + 9) / 4)


def test_heat_is_stretched_picture_by_picture() -> None:
    heat = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]], [[[4.0, 4.0], [4.0, 4.0]]]])
    assert normalised(heat).flatten(1).tolist() == [[0.0, 0.25, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0]]


def test_fitted_by_hand() -> None:
    row = torch.tensor([[[[1.0, 3.0, 5.0, 7.0]]]])
    assert fitted(row, (1, 2)).flatten().tolist() == [2.0, 6.0]
    assert fitted(row[..., :2], (1, 4)).flatten().tolist() == [1.0, 1.5, 2.5, 3.0]
    assert torch.equal(fitted(row, (1, 4)), row)


def test_attention_weights_by_hand() -> None:
    # Two heads of width 1: the first looks at the first key with odds 3 : 1, the second evenly.
    q = torch.tensor([[[1.0, 0.0]]])
    k = torch.tensor([[[np.log(3.0), 5.0], [0.0, 7.0]]]).float()
    torch.testing.assert_close(attention_weights(q, k, 2), torch.tensor([[[(0.75 + 0.5) / 2, (0.25 + 0.5) / 2]]]))


def test_attention_weights_are_exact_while_the_network_computes_in_bfloat16() -> None:
    q, k = (torch.randn(1, n, 8, generator=torch.Generator().manual_seed(n)) for n in (4, 6))
    with torch.autocast("cpu", torch.bfloat16):
        found = attention_weights(q, k, 2)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, attention_weights(q, k, 2), rtol=0, atol=0)


def qkv(pixels: int, places: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(2, n, 8, generator=generator) for n in (pixels, places, places))


def test_suppress_by_hand() -> None:
    """One head of width 1. The neutral prompt: begin, one word; then the other prompt's begin, attribute, end."""
    q = torch.tensor([[[1.0], [2.0], [-1.0]]])
    k = torch.tensor([[[0.0], [0.5], [9.0], [1.0], [9.0]]])
    v = torch.tensor([[[1.0], [3.0], [100.0], [100.0], [100.0]]])
    masks: list[Tensor] = []
    hook = Suppress(2, [1], [3], 0.5, range(1), masks.append)
    out = hook(0, q, k, v, 1, (1, 3))
    # Pixels 0 and 1 look more at the key 1.0 than at 0.5, pixel 2 less.
    assert masks[0].tolist() == [[[[1.0, 1.0, 0.0]]]]
    weight = np.exp(-0.5) / (1 + np.exp(-0.5))
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, 0.0, 1 + 2 * weight]).float())
    # The score of pixel 1 is e^2 / (e^1 + e^2) = 0.73, of pixel 0 only 0.62.
    assert Suppress(2, [1], [3], 0.7, range(1)).mask(q, k, 1).tolist() == [[False, True, False]]
    plain = attend(q, k[:, :2], v[:, :2], 1)
    assert torch.equal(Suppress(2, [1], [3], 0.5, range(1, 2))(0, q, k, v, 1, (1, 3)), plain)


def test_looking_changes_nothing() -> None:
    q, k, v = qkv(6, 4)
    hook = HeatMap([1, 3])
    assert torch.equal(hook(0, q, k, v, 2, (2, 3)), attend(q, k, v, 2))
    hook(1, q[:, :2], k, v, 2, (1, 2))
    first = attention_weights(q, k, 2)[:, :, [1, 3]].sum(2).view(2, 1, 2, 3)
    second = attention_weights(q[:, :2], k, 2)[:, :, [1, 3]].sum(2).view(2, 1, 1, 2)
    torch.testing.assert_close(hook.heat((2, 3)), normalised((first + fitted(second, (2, 3))) / 2))


def restated(unet: AttentiveUNet, parts: dict[str, Any], latents: Tensor, noise: Tensor, v: Tensor) -> Tensor:
    """The loss of one step, written down plainly; `v` is what is added to h."""
    person, woman = unet.encode_prompts(["a person", "a woman"])
    person_context, woman_context = person.context.expand(4, -1, -1), woman.context.expand(4, -1, -1)

    def heads(layer: int, name: str, x: Tensor) -> list[Tensor]:
        return list(unet.projections[layer][name](x).split(4, dim=2))

    def layer(number: int, x: Tensor, context: Tensor, suppress: bool) -> tuple[Tensor, Tensor]:
        """The output, and how much each pixel looks at the third place of the context."""
        pixels = x.flatten(2).transpose(1, 2)
        q, k, values = heads(number, "q", pixels), heads(number, "k", context), heads(number, "v", context)
        weights = [(a @ b.transpose(1, 2) / 2).softmax(2) for a, b in zip(q, k, strict=True)]
        out = torch.cat([w @ value for w, value in zip(weights, values, strict=True)], dim=2)
        if suppress:
            key = [torch.cat([a, b[:, 2:3]], 1) for a, b in zip(k, heads(number, "k", woman_context), strict=True)]
            mass = sum((a @ b.transpose(1, 2) / 2).softmax(2) for a, b in zip(q, key, strict=True)).detach()
            own, attribute = mass[..., 1] + mass[..., 2], mass[..., -1]
            out = out * (attribute / (own + attribute) <= parts["tau"])[..., None]
        looks = sum(w[..., 2] for w in weights) / 2
        new = unet.projections[number]["out"](out).transpose(1, 2).reshape(x.shape)
        return x + new, looks.reshape(4, 1, *x.shape[2:]).detach()

    features = unet.down(latents).tanh()
    h, _ = layer(0, features, person_context, parts["suppress"] and parts["layers"] == "all")
    _, heat = layer(0, features, woman_context, False)
    low, high = heat.amin((2, 3), keepdim=True), heat.amax((2, 3), keepdim=True)
    heat = (heat - low) / (high - low)
    if parts["attenuate"]:
        h = h / (1 + torch.exp(10 * (heat - 0.5)))
    up = torch.nn.functional.interpolate(h.detach() + v, size=latents.shape[2:])
    up, _ = layer(1, up, person_context, parts["suppress"])
    error = (unet.up(up) + unet.skip(latents) - noise) ** 2
    if parts["weigh"]:
        big = torch.nn.functional.interpolate(heat, size=latents.shape[2:], mode="bilinear")
        error = (1 + parts["beta"] * big) * error
    return error.mean()


SWITCHES = [
    {},
    {"suppress": True, "tau": 0.5},
    {"suppress": True, "tau": 0.3},
    {"suppress": True, "tau": 0.3, "layers": "last"},
    {"attenuate": True},
    {"weigh": True, "beta": 0.4},
    {"weigh": True, "beta": 2.0},
    {"suppress": True, "attenuate": True, "weigh": True},
]
KINDS = [{"kind": "channel"}, {"kind": "grid"}, {"kind": "low_rank", "rank": 2}]


@pytest.mark.parametrize("parts", SWITCHES)
@pytest.mark.parametrize(("kind", "size"), [(KINDS[0], (8, 8)), (KINDS[1], (8, 12)), (KINDS[2], (12, 8))])
def test_one_step_restated(parts: dict[str, Any], kind: dict[str, Any], size: tuple[int, int]) -> None:
    parts = {**OFF, "tau": 0.5, "beta": 0.4, "layers": "all", **parts}
    unet = AttentiveUNet(size=size)
    setting, state = begun(unet, parts, **kind)
    batch = state.source.batch(3, unet.alphas_cumprod)
    added = state.module.responsible.resized(size[0] // 2, size[1] // 2)
    expected = restated(unet, parts, batch.latents, batch.noise, added)
    wanted = torch.autograd.grad(expected, list(state.module.responsible.parameters()))
    losses = gradients(setting, state, 3)
    assert losses == {"responsible": pytest.approx(expected.item(), rel=1e-5), "semantic": 0.0}
    for parameter, gradient in zip(state.module.responsible.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_every_switch_changes_the_loss() -> None:
    unet = AttentiveUNet()
    losses = [gradients(*begun(unet, {**OFF, **parts}), 3)["responsible"] for parts in SWITCHES]
    assert len(set(losses)) == len(losses)


def test_all_off_is_sdisc_exactly() -> None:
    unet = AttentiveUNet()
    found = []
    for recipe in ("where", "sdisc"):
        setting, state = begun(unet, OFF, recipe=recipe, kind="grid")
        assert setting.config.objective == recipe
        found.append((gradients(setting, state, 3), state.module.responsible.full.grad))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


def test_a_threshold_of_one_suppresses_nothing() -> None:
    unet = AttentiveUNet()
    plain, high, low = (
        gradients(*begun(unet, {**OFF, **parts}), 3)["responsible"]
        for parts in ({}, {"suppress": True, "tau": 1.0}, {"suppress": True, "tau": 0.0})
    )
    assert high == pytest.approx(plain, rel=1e-6)
    assert abs(low - plain) > 1e-3 * plain


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_loss(kind: dict[str, Any]) -> None:
    unet = AttentiveUNet()
    settings = config({}, **kind)
    trained = train(settings, unet)
    for name, setting in settings_of(settings, unet).items():
        untrained = start(setting)
        losses = [
            sum(gradients(setting, state, step)["responsible"] for step in range(1000, 1020))
            for state in (untrained, trained.concepts[name])
        ]
        assert losses[1] < 0.97 * losses[0]
        assert trained.modules()[name].semantic.value().abs().max() == 0


def test_safety_looks_for_the_unwanted() -> None:
    numbers = {"pictures": 4, "picture_steps": 2, "batch": 4, "attribute": "safe", "purpose": "safety"}
    preset = {**numbers, "neutral": "a scene", "concepts": {"it": {"negative": "violence"}}}
    settings = configure(preset, "test", recipe="where")
    setting = settings_of(settings, AttentiveUNet())["it"]
    state = start(setting)
    gradients(setting, state, 0)
    assert state.module.responsible.full.grad.abs().max() > 0


def test_heat_maps_are_shown(tmp_path: Path) -> None:
    unet = AttentiveUNet(size=(8, 12))
    setting = settings_of(config({}), unet, folder=tmp_path)["woman"]
    source = start(setting).source
    seen = shown(setting, source)
    assert seen.pictures is not None
    assert seen.pictures.shape == (6, 3, 64, 96)
    for part in (seen.heat, seen.chi, seen.m):
        assert part.shape == (6, 1, 4, 6)
        assert part.min() >= 0
        assert part.max() <= 1
    assert set(seen.chi.unique().tolist()) <= {k / 8 for k in range(9)}  # 2 layers; the decoder's is twice as large
    torch.testing.assert_close(seen.m, attenuation(seen.heat))
    picture = imread(tmp_path / "heat-woman.png")
    assert picture.shape[1] > 600
    assert picture[..., :3].std() > 0.1


@pytest.mark.parametrize(("team", "parts"), [(Team(1, 2), {}), (Team(0, 2), OFF)])
def test_heat_maps_that_nobody_wants(tmp_path: Path, team: Team, parts: dict[str, Any]) -> None:
    start(settings_of(config(parts), AttentiveUNet(), team, tmp_path)["woman"])
    assert not (tmp_path / "heat-woman.png").exists()


def test_without_an_autoencoder_the_maps_alone_are_shown(tmp_path: Path) -> None:
    class Blind(AttentiveUNet):
        def decode(self, latents: Tensor) -> None:
            return None

    start(settings_of(config({}), Blind(), folder=tmp_path)["woman"])
    assert (tmp_path / "heat-woman.png").stat().st_size > 5000


def test_prompts_without_a_word_of_their_own() -> None:
    same = {"woman": {"target": "person"}, "man": {"target": "a man"}}
    with pytest.raises(RespoError, match=r"concepts\.woman.*'a person' does not have, found 'person'"):
        start(settings_of(config({}, concepts=same), AttentiveUNet())["woman"])
    start(settings_of(config(OFF, concepts=same), AttentiveUNet())["woman"])


def test_a_network_without_cross_attention() -> None:
    class Deaf(AttentiveUNet):
        def __init__(self) -> None:
            super().__init__()
            self.attention_layers = 0

    with pytest.raises(RespoError, match="cross-attention"):
        start(settings_of(config({}), Deaf())["woman"])
