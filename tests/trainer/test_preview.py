from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_unet import CHANNELS, SIZE, ToyUNet, prompt_vector

from respo_train.core.module.concept import ConceptModule
from respo_train.latents.randomness import keyed_noise
from respo_train.latents.sampling import sample
from respo_train.network import Encoded
from respo_train.objectives import OBJECTIVES
from respo_train.provenance import Base
from respo_train.report import Report, preview
from respo_train.report.preview import Previews, run_key
from respo_train.report.sheet import Sheet
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.trainer import train


def config(**changes: Any) -> TrainConfig:
    return read_config("gender", {"batch": 2, "trajectory_steps": 8, "steps": 3, **changes})


def modules(size: float = 3.0) -> dict[str, ConceptModule]:
    made = {}
    for name in ("woman", "man"):
        made[name] = ConceptModule(CHANNELS, SIZE, SIZE)
        made[name].responsible.full.data[:] = size * prompt_vector(name).view(-1, 1, 1)
    return made


def by_hand(prompt: str, seed: str, module: ConceptModule | None, guidance: float, half: Any) -> np.ndarray:
    """One picture, 64 pixels wide and drawn twice as large."""
    unet = ToyUNet()
    noise = keyed_noise(unet.latent_shape, *seed.split())[None]
    asked, negative = unet.encode_prompts([prompt, ""])
    decoded = unet.decode(sample(unet, noise, asked, negative, 20, guidance, module, half))
    assert decoded is not None
    return (decoded[0].permute(1, 2, 0).repeat_interleave(2, 0).repeat_interleave(2, 1) * 255).round().byte().numpy()


@pytest.mark.parametrize("half", ["cond", "both"])
@pytest.mark.parametrize(("family", "guidance"), [("sd1", 7.5), ("emoji_world", 3.0)])
def test_what_is_where(half: Any, family: str, guidance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "respodiff", replace(OBJECTIVES["respodiff"], half=half))
    unet, made = ToyUNet(), modules()
    unet.architecture = replace(unet.architecture, family=family)
    sheet = Previews(config(seed=5), unet).draw(made, 70)
    assert sheet is not None
    assert (sheet.title, sheet.step, sheet.columns) == ("gender", 70, ("before", "woman", "man"))
    assert sheet.prompts == tuple(config().preview)
    assert sheet.pictures.shape == (4, 3, 2, 128, 128, 3)
    for row, column, seed in ((0, 0, 0), (0, 1, 0), (2, 2, 1), (3, 0, 1)):
        module = made.get(sheet.columns[column])
        expected = by_hand(sheet.prompts[row], f"5 preview {row} {seed}", module, guidance, half)
        # Batches of one and two differ in the last bits.
        assert np.abs(sheet.pictures[row, column, seed].astype(int) - expected).max() <= 1
    assert np.abs(sheet.pictures[:, 1].astype(int) - sheet.pictures[:, 0]).max() > 20


class Counting(ToyUNet):
    encoders = 0

    def encoder(self, latents: Tensor, *arguments: Any) -> Encoded:
        self.encoders += len(latents)
        return super().encoder(latents, *arguments)


def test_before_is_drawn_once_and_everything_is_repeatable() -> None:
    unet = Counting()
    previews = Previews(config(), unet)
    first = previews.draw(modules(), 1)
    once = unet.encoders
    second = previews.draw(modules(), 2)
    assert once == 3 * (unet.encoders - once) / 2
    assert first is not None
    assert second is not None
    assert np.array_equal(first.pictures, second.pictures)
    other = Previews(config(seed=9), ToyUNet()).draw(modules(), 1)
    assert other is not None
    assert not np.array_equal(first.pictures, other.pictures)


def test_a_preset_without_preview_prompts_shows_what_it_steers() -> None:
    own = {"woman": {"target": "a woman"}, "man": {"target": "a man", "neutral": "somebody"}}
    sheet = Previews(config(preview=[], concepts=own), ToyUNet()).draw(modules(), 1)
    assert sheet is not None
    assert sheet.prompts == ("a person", "somebody")


def test_no_pictures_without_an_autoencoder() -> None:
    class Bare(ToyUNet):
        def decode(self, latents: Tensor) -> Tensor | None:
            return None

    assert Previews(config(), Bare()).draw(modules(), 1) is None


def test_looking_does_not_change_the_training_in_any_bit(tmp_path: Path) -> None:
    plain = train(config(), ToyUNet())
    unet = ToyUNet()
    report = Report(config(), unet, Base("toy.safetensors", "0" * 64), tmp_path / "gender.safetensors", 1)
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    watched = train(config(), unet, report.after_step)
    report.finish(watched)
    assert len(list((tmp_path / "gender.training").glob("preview-*.png"))) == 3
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), str(np.random.get_state()))
    for name, concept in plain.concepts.items():
        for key, value in concept.module.state_dict().items():
            assert torch.equal(value, watched.concepts[name].module.state_dict()[key])
        assert concept.losses == watched.concepts[name].losses
        assert torch.equal(concept.source.latents, watched.concepts[name].source.latents)


@pytest.mark.parametrize(
    ("size", "shown"),
    [((512, 512), (256, 256)), ((768, 512), (256, 171)), ((128, 128), (128, 128)), ((64, 32), (128, 64))],
)
def test_pictures_fit(size: tuple[int, int], shown: tuple[int, int]) -> None:
    pixels = preview._small(torch.full((3, *size), 0.6))
    assert pixels.shape == (*shown, 3)
    assert set(np.unique(pixels)) == {153}


def test_small_pictures_are_enlarged_in_whole_pixels() -> None:
    picture = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0))
    pixels = preview._small(picture)
    assert np.array_equal(pixels[::2, ::2], pixels[1::2, 1::2])
    assert np.array_equal(pixels[::2, ::2], (picture.permute(1, 2, 0) * 255).round().byte().numpy())


def test_the_key_of_a_run_is_its_own_but_for_the_steps() -> None:
    key = run_key(config(), ToyUNet())
    assert run_key(config(steps=99), ToyUNet()) == key
    assert run_key(config(seed=99), ToyUNet()) != key
    other = ToyUNet()
    other.fingerprint = (1.0, 2.0, 3.5)
    assert run_key(config(), other) != key


@pytest.mark.parametrize("shape", [(4, 3, 2, 32, 48, 3), (1, 2, 1, 8, 8, 3)])
def test_a_sheet_is_read_back_bit_by_bit(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    prompts = tuple(f"\u0441\u043e\u0432\u0430 & <b>{'very ' * 300}long" for _ in range(shape[0]))
    sheet = Sheet("key", "gender", 70, prompts, tuple("abc"[: shape[1]]), pictures)
    sheet.save(tmp_path / "sheet.png")
    found = Sheet.load(tmp_path / "sheet.png")
    assert found is not None
    assert np.array_equal(found.pictures, pictures)
    assert all(getattr(found, key) == getattr(sheet, key) for key in ("run", "title", "step", "prompts", "columns"))


def test_what_is_no_sheet_is_left_out(tmp_path: Path) -> None:
    sheet = Sheet("key", "gender", 70, ("a",), ("before",), np.zeros((1, 1, 1, 8, 8, 3), np.uint8))
    good, plain, broken, text = (tmp_path / f"{name}.png" for name in ("good", "plain", "broken", "text"))
    sheet.save(good)
    sheet.image().save(plain)
    broken.write_bytes(good.read_bytes()[:-200])
    text.write_text("not a picture")
    assert [Sheet.load(path) is not None for path in (good, plain, broken, text)] == [True, False, False, False]
    assert Sheet.load(tmp_path / "missing.png") is None
