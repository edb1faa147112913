from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from toy_unet import ToyUNet

from respo_train.core.errors import RespoError
from respo_train.latents import pictures as module
from respo_train.latents.pictures import AT_ONCE, KEPT_EVERY, Pictures, noised, pictures_of
from respo_train.latents.randomness import keyed_noise
from respo_train.latents.sampling import sample
from respo_train.network import Encoded
from respo_train.objectives.objective import Setting
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import configure, read_config
from respo_train.team import Team
from respo_train.trainer import settings_of

PICTURES = KEPT_EVERY + 12


def config(**changes: Any) -> TrainConfig:
    return read_config("gender", {"pictures": PICTURES, "picture_steps": 2, "batch": 4, **changes}, "sdisc")


def setting(
    unet: ToyUNet, folder: Path | None = None, rank: int = 0, size: int = 1, name: str = "woman", **changes: Any
) -> Setting:
    return settings_of(config(**changes), unet, Team(rank, size), folder)[name]


def drawn(unet: ToyUNet) -> int:
    """How many pictures `unet` has drawn: each takes 2 steps of 2 passes."""
    return sum(len(latents) for latents, _ in unet.seen) // 4


def test_noised_by_hand() -> None:
    latents, noise = torch.full((2, 1, 1, 1), 3.0), torch.full((2, 1, 1, 1), 5.0)
    found = noised(latents, noise, torch.tensor([1.0, 0.36]))
    torch.testing.assert_close(found.flatten(), torch.tensor([3.0, 0.6 * 3 + 0.8 * 5]))


def test_a_batch_depends_on_step_and_row_alone() -> None:
    alphas = torch.linspace(0.999, 0.005, 1000)
    latents = torch.arange(6.0).half().view(6, 1, 1, 1).expand(6, 4, 8, 8)
    whole = Pictures("key", latents, 4, range(4))
    expected = [whole.batch(step, alphas) for step in range(9)]
    again = Pictures("key", latents, 4, range(4))
    shared = [Pictures("key", latents, 4, range(rank, 4, 2)) for rank in (0, 1)]
    for step in (8, 0, 3):
        for part in ("latents", "timesteps", "noise"):
            value = getattr(expected[step], part)
            assert torch.equal(getattr(again.batch(step, alphas), part), value)
            for rank, pictures in enumerate(shared):
                assert torch.equal(getattr(pictures.batch(step, alphas), part), value[rank::2])
    assert not torch.equal(expected[0].noise, expected[1].noise)
    assert not torch.equal(expected[0].noise, Pictures("other", latents, 4, range(4)).batch(0, alphas).noise)
    assert whole.tensors() == {}
    assert whole.numbers() == {}


def test_each_picture_once_an_epoch_at_timesteps_from_all() -> None:
    alphas = torch.linspace(0.999, 0.005, 1000)
    latents = torch.arange(6.0).half().view(6, 1, 1, 1).expand(6, 1, 2, 2)
    pictures = Pictures("key", latents, 3, range(3))
    orders, timesteps = [], []
    for epoch in range(40):
        order = []
        for step in (2 * epoch, 2 * epoch + 1):
            batch = pictures.batch(step, alphas)
            alpha = alphas[batch.timesteps].view(-1, 1, 1, 1)
            clean = (batch.latents - (1 - alpha).sqrt() * batch.noise) / alpha.sqrt()
            order += clean.mean((1, 2, 3)).round().long().tolist()
            timesteps += batch.timesteps.tolist()
        assert sorted(order) == list(range(6))
        orders.append(tuple(order))
    assert len(set(orders)) > 20
    assert min(timesteps) < 50
    assert max(timesteps) > 950
    assert 420 < sum(timesteps) / len(timesteps) < 580


@pytest.mark.parametrize("purpose", ["fairness", "safety"])
def test_drawn_with_the_concepts_own_prompts(purpose: str) -> None:
    if purpose == "fairness":
        preset: dict[str, Any] = {"neutral": "a person", "concepts": {"it": {"target": "a woman"}}}
        positive, negative = "a photo of a woman", ""
    else:
        preset = {"neutral": "a scene", "concepts": {"it": {"negative": "violence"}}}
        positive, negative = "a photo of a scene", "violence"
    numbers = {"pictures": 3, "picture_steps": 4, "picture_guidance": 2.5, "attribute": "any", "purpose": purpose}
    settings = configure({**preset, **numbers}, "test", recipe="sdisc")
    unet = ToyUNet()
    made = settings_of(settings, unet)["it"]
    noise = torch.stack([keyed_noise((4, 8, 8), made.key, "picture", index) for index in range(3)])
    first, second = unet.encode_prompts([positive, negative])
    expected = sample(unet, noise, first, second, 4, 2.5)
    found = pictures_of(made).latents
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=2e-3)


def test_kept_and_used_again(tmp_path: Path) -> None:
    first, second = ToyUNet(), ToyUNet()
    made = pictures_of(setting(first, tmp_path)).latents
    assert drawn(first) == len(made) == PICTURES
    assert [path.name for path in tmp_path.iterdir()] == ["pictures-woman.respo"]
    assert torch.equal(pictures_of(setting(second, tmp_path)).latents, made)
    assert drawn(second) == 0
    # What a file gives is what drawing in memory gives.
    assert torch.equal(pictures_of(setting(ToyUNet())).latents, made)


OTHER = {"seed": 1, "pictures": PICTURES + 1, "picture_steps": 3, "picture_guidance": 2.0, "picture_prompt": "one {}"}


@pytest.mark.parametrize("change", [{key: value} for key, value in OTHER.items()])
def test_another_configuration_draws_again(tmp_path: Path, change: dict[str, Any]) -> None:
    made = pictures_of(setting(ToyUNet(), tmp_path)).latents
    unet = ToyUNet()
    again = pictures_of(setting(unet, tmp_path, **change)).latents
    assert drawn(unet) >= len(again)
    assert not torch.equal(again, made)
    assert torch.equal(again, pictures_of(setting(ToyUNet(), **change)).latents)


def test_another_checkpoint_draws_again(tmp_path: Path) -> None:
    pictures_of(setting(ToyUNet(), tmp_path))
    unet = ToyUNet(seed=1)
    unet.fingerprint = (3.0, 2.0, 1.0)
    pictures_of(setting(unet, tmp_path))
    assert drawn(unet) == PICTURES


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def junk(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 20)


def unsigned(path: Path) -> None:
    safetensors.torch.save_file({"latents": torch.zeros(PICTURES, 4, 8, 8)}, path)


def without_header(path: Path) -> None:
    path.write_bytes((4).to_bytes(8, "little") + b"null")


def without_bottom(path: Path) -> None:
    path.write_bytes((10**5).to_bytes(8, "little") + b"[" * 10**5)


@pytest.mark.parametrize("damage", [cut, empty, junk, unsigned, without_header, without_bottom])
def test_a_damaged_file_is_drawn_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    made = pictures_of(setting(ToyUNet(), tmp_path)).latents
    damage(tmp_path / "pictures-woman.respo")
    unet = ToyUNet()
    assert torch.equal(pictures_of(setting(unet, tmp_path)).latents, made)
    assert drawn(unet) == PICTURES
    pictures_of(setting(unet, tmp_path))
    assert drawn(unet) == PICTURES


class Killed(Exception):
    pass


class Mortal(ToyUNet):
    """Dies in the middle of the picture after the first `lives`."""

    lives = KEPT_EVERY + AT_ONCE

    def decoder(self, encoded: Encoded, h: Tensor, hook: Any = None) -> Tensor:
        if drawn(self) > self.lives:
            raise Killed
        return super().decoder(encoded, h, hook)


def test_a_kill_while_drawing_loses_one_chunk(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        pictures_of(setting(Mortal(), tmp_path))
    unet = ToyUNet()
    found = pictures_of(setting(unet, tmp_path)).latents
    assert drawn(unet) == PICTURES - KEPT_EVERY
    assert torch.equal(found, pictures_of(setting(ToyUNet())).latents)


def test_each_picture_is_written_twice_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def count(path: Path, data: bytes) -> None:
        written.append(len(safetensors.torch.load(data)["latents"]))
        path.write_bytes(data)

    monkeypatch.setattr(module, "write_atomically", count)
    total = 5 * KEPT_EVERY + 3
    made = pictures_of(setting(ToyUNet(), tmp_path, pictures=total)).latents
    assert written == [KEPT_EVERY] * 5 + [total]
    assert [path.name for path in tmp_path.iterdir()] == ["pictures-woman.respo"]
    assert len(made) == total


def test_what_an_older_version_left_unfinished_is_used(tmp_path: Path) -> None:
    """It kept rewriting the one file with all that was drawn so far."""
    own = setting(ToyUNet(), tmp_path)
    made = pictures_of(own).latents
    module._write(tmp_path / "pictures-woman.respo", made[:KEPT_EVERY].clone(), module._signature(own))
    unet = ToyUNet()
    assert torch.equal(pictures_of(setting(unet, tmp_path)).latents, made)
    assert drawn(unet) == PICTURES - KEPT_EVERY


def test_parts_of_another_configuration_are_removed(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        pictures_of(setting(Mortal(), tmp_path))
    (left,) = tmp_path.iterdir()
    assert left.name == "pictures-woman.from-000000.respo"
    unet = ToyUNet()
    pictures_of(setting(unet, tmp_path, seed=1))
    assert drawn(unet) == PICTURES
    assert [path.name for path in tmp_path.iterdir()] == ["pictures-woman.respo"]


def test_the_first_process_alone_writes(tmp_path: Path) -> None:
    second = pictures_of(setting(ToyUNet(), tmp_path, rank=1, size=2))
    assert list(tmp_path.iterdir()) == []
    first = pictures_of(setting(ToyUNet(), tmp_path, rank=0, size=2))
    assert torch.equal(first.latents, second.latents)
    assert (first.rows, second.rows) == (range(0, 4, 2), range(1, 4, 2))


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    class Broken(ToyUNet):
        def decoder(self, encoded: Encoded, h: Tensor, hook: Any = None) -> Tensor:
            return super().decoder(encoded, h, hook) / 0

    with pytest.raises(RespoError, match=r"'a photo of a woman'.*not finite.*float32"):
        pictures_of(setting(Broken(), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RespoError, match="cannot make the folder"):
        pictures_of(setting(ToyUNet(), tmp_path / "file" / "deeper"))
