"""Hooks in the host's own cross-attention, and the objectives that look at it, on Emoji World."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from host.test_split_unet import small, split
from torch import Tensor

from respo_train.core.errors import RespoError
from respo_train.core.pictures.attention import attend, layer_size, word_places, word_tokens
from respo_train.host.split_unet import HostUNet
from respo_train.objectives.attention import HeatMap, attribute_places
from respo_train.objectives.localised import heat_map, joined, suppression
from respo_train.settings.preset_files import configure, read_config
from respo_train.trainer import gradients, settings_of, start, train


class Looking:
    """Does what the layer would do, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, tuple[int, int], int]] = []

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, size: tuple[int, int]) -> Tensor:
        assert q.shape[1] == size[0] * size[1]
        self.seen.append((layer, size, heads))
        return attend(q, k, v, heads)


# Levels of SD 1.x's structure in small: attention on the second and third, in the middle, and on the way up.
SIZES = {
    (16, 16): [(8, 8), (4, 4), (4, 4), (4, 4), (4, 4), (8, 8), (8, 8)],
    (12, 20): [(6, 10), (3, 5), (3, 5), (3, 5), (3, 5), (6, 10), (6, 10)],
    (9, 11): [(5, 6), (3, 3), (3, 3), (3, 3), (3, 3), (5, 6), (5, 6)],
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_a_hook_that_only_looks_changes_nothing(host: SimpleNamespace, kind: str, size: tuple[int, int]) -> None:
    unet = split(small(kind))
    latents, timesteps = torch.randn(2, 4, *size), torch.tensor([900, 100])
    (prompt,) = unet.encode_prompts(["a person"])

    def run(hook: Any) -> Tensor:
        encoded = unet.encoder(latents, timesteps, prompt, hook)
        return unet.decoder(encoded, encoded.h, hook)

    plain, hook = run(None), Looking()
    torch.testing.assert_close(run(hook), plain, rtol=1e-5, atol=1e-6)
    assert [layer for layer, _, _ in hook.seen] == list(range(unet.attention_layers))
    assert [size for _, size, _ in hook.seen] == SIZES[size]
    assert {heads for _, _, heads in hook.seen} == ({8} if kind == "sd1" else {1, 2})  # SDXL: 64 channels a head
    # Nothing of it stays behind.
    assert torch.equal(run(None), plain)


def test_a_hook_replaces_what_the_layers_give(host: SimpleNamespace) -> None:
    unet = split(small("sd1"))
    latents, timesteps = torch.randn(1, 4, 16, 16), torch.tensor([500])
    (prompt,) = unet.encode_prompts(["a person"])

    def silent(layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, size: tuple[int, int]) -> Tensor:
        return torch.zeros_like(q)

    found = []
    for text in ("a person", "many people here"):
        encoded = unet.encoder(latents, timesteps, unet.encode_prompts([text])[0], silent)
        found.append(unet.decoder(encoded, encoded.h, silent))
    assert torch.equal(found[0], found[1])  # the prompt is not heard
    encoded = unet.encoder(latents, timesteps, prompt)
    half = unet.decoder(encoded, encoded.h, silent)
    plain = unet.decoder(encoded, encoded.h)
    assert (half - plain).norm() > 0.001 * plain.norm()


@pytest.mark.parametrize(
    ("pixels", "size", "expected"), [(256, (16, 16), (16, 16)), (64, (16, 16), (8, 8)), (9, (9, 11), (3, 3))]
)
def test_size_of_a_layer(pixels: int, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert layer_size(pixels, *size) == expected


def test_a_layer_of_another_shape() -> None:
    with pytest.raises(RespoError, match=r"16 x 16.*found 50 pixels"):
        layer_size(50, 16, 16)


def test_word_tokens(unet: HostUNet) -> None:
    person, woman, photo, empty = unet.encode_prompts(["a person", "a woman", "a photo of a woman", ""])
    assert len(person.tokens) == person.context.shape[1] == 24
    assert word_places(person.tokens) == [1, 2]
    assert word_places(photo.tokens) == [1, 2, 3, 4, 5]
    assert word_places(empty.tokens) == []
    assert attribute_places(woman.tokens, person.tokens) == [2]
    assert photo.tokens[5] == woman.tokens[2]
    long = unet.encode_prompts(["a woman " * 15 + "doctor"])[0]  # more than one chunk of 24 places
    assert len(long.tokens) == long.context.shape[1] == 48
    assert len(word_places(long.tokens)) == 31


def test_a_textual_inversion_is_a_word() -> None:
    clip = SimpleNamespace(tokenize=lambda text: {"l": [[(0, 1.0), (torch.zeros(4) if text else 9, 1.0), (9, 1.0)]]})
    assert word_tokens(clip, "embedding:it") == (None, -1, None)


def test_suppressing_nothing_is_the_neutral_prompt(unet: HostUNet) -> None:
    """The joined context goes through the layers, and only the neutral prompt's places are listened to."""
    setting = settings_of(read_config("gender", {"where": {"tau": 1.0}}, "where"), unet)["woman"]
    latents, timesteps = torch.randn(2, 4, 16, 16), torch.tensor([800, 300])
    plain = unet.encoder(latents, timesteps, setting.prompts.neutral)
    both = joined(setting.prompts.neutral, setting.prompts.target)
    found = unet.encoder(latents, timesteps, both, suppression(setting))
    torch.testing.assert_close(found.h, plain.h, rtol=1e-4, atol=1e-4)
    assert (unet.encoder(latents, timesteps, both).h - plain.h).norm() > 0.01 * plain.h.norm()


QUICK = {"steps": 20, "batch": 4, "pictures": 8, "picture_steps": 6, "picture_guidance": 3.0, "responsible_lr": 0.1}


def test_the_heat_lies_on_the_person(unet: HostUNet, tmp_path: Path) -> None:
    setting = settings_of(read_config("gender", QUICK, "where"), unet, folder=tmp_path)["woman"]
    latents = start(setting).source.latents.float()
    timesteps = torch.full((len(latents),), 500)
    heat = heat_map(setting, 0.5 * latents + 0.75**0.5 * torch.randn_like(latents), timesteps, (8, 8)).mean(0)[0]
    # Heads fill the middle and the bottom of Emoji World's pictures; sky, walls and trees are above and beside them.
    assert heat[3:7, 1:7].mean() > 2 * torch.cat([heat[:2].flatten(), heat[:, 0], heat[:, 7]]).mean()
    assert (tmp_path / "heat-woman.png").exists()


def test_heat_maps_need_no_decoder(unet: HostUNet) -> None:
    hook = HeatMap([2])
    unet.encoder(torch.randn(1, 4, 16, 24), torch.tensor([500]), unet.encode_prompts(["a woman"])[0], hook)
    assert {layer: tuple(each.shape) for layer, each in hook.maps.items()} == dict.fromkeys(range(3), (1, 1, 8, 12))


@pytest.mark.parametrize("recipe", ["sdisc", "where"])
def test_training_lowers_the_loss(unet: HostUNet, tmp_path: Path, recipe: str) -> None:
    words = {"attribute": "gender", "purpose": "fairness", "neutral": "a person"}
    config = configure({**words, "concepts": {"woman": {"target": "a woman"}}, **QUICK}, "test", recipe=recipe)
    trained = train(config, unet, folder=tmp_path).concepts["woman"]
    setting = settings_of(config, unet, folder=tmp_path)["woman"]
    # The same unseen batches with and without the module: losses of successive steps are of different ones.
    before, after = (
        sum(gradients(setting, state, step)["responsible"] for step in range(1000, 1006))
        for state in (start(setting), trained)
    )
    assert after < 0.99 * before
