"""The benchmark on big geometries finds what it is there to find; here on a tiny U-Net."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from toy_unet import CHANNELS, SIZE, AttentiveUNet

from benchmarks import train_on_geometry as command
from benchmarks.command import run
from benchmarks.speed.geometry import WithRandomText, random_text
from benchmarks.train_on_geometry import RANDOM, check_module, train_both_ways
from respo_train.core.errors import RespoError
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.h_map import HMap
from respo_train.network import Conditioning
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config

SHAPE = (CHANNELS, SIZE, SIZE)
SDXL = Architecture("sdxl", 320, 2048, 2816, 1280)


def config() -> TrainConfig:
    return read_config("gender", {"steps": 3, "batch": 2, "trajectory_steps": 2, "probe": {"nobody": []}}, "respo")


def test_both_ways(tmp_path: Path) -> None:
    figures = train_both_ways(config(), WithRandomText(AttentiveUNet()), tmp_path, SHAPE)
    assert figures["steps_timed"] == 3  # two of the whole run, one of the interrupted one
    assert figures["module_bytes"] > 4 * 4 * CHANNELS * SIZE * SIZE
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {"whole.safetensors", "parts.safetensors"}


class Forgetful(WithRandomText):
    """Encodes the prompts of the third run, which is the resumed one, in another way."""

    runs = 0

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        self.runs += 1
        return super().encode_prompts([f"{prompt} {self.runs // 3}" for prompt in prompts])


def test_a_resumed_run_that_differs_is_found(tmp_path: Path) -> None:
    with pytest.raises(RespoError, match=r"expected the same \S+ after an interruption"):
        train_both_ways(config(), Forgetful(AttentiveUNet()), tmp_path, SHAPE)


def module(value: float, semantic: float = 1.0) -> Attribute:
    concept = ConceptModule(CHANNELS, SIZE, SIZE)
    with torch.no_grad():
        for part, number in ((concept.responsible, value), (concept.semantic, semantic)):
            for parameter in part.parameters():
                parameter.fill_(number)
    return Attribute("gender", "fairness", {"woman": concept}, AttentiveUNet.architecture, RANDOM.to_dict(), {})


def test_a_module_is_looked_at() -> None:
    check_module(module(1.0), SHAPE)
    with pytest.raises(RespoError, match=re.escape(f"[8, 4, 5], found {list(SHAPE)}")):
        check_module(module(1.0), (CHANNELS, SIZE, SIZE + 1))
    for values in ((0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)):
        with pytest.raises(RespoError, match="not all of them zero"):
            check_module(module(*values), SHAPE)


def test_a_map_that_learned_nothing_is_found() -> None:
    one = module(1.0)
    one.concepts["woman"].map = HMap(CHANNELS, 3)
    with pytest.raises(RespoError, match=r"finite numbers in woman\.map\.bias, not all of them zero"):
        check_module(one, SHAPE)


def test_random_text_depends_on_the_prompt_alone() -> None:
    like = torch.zeros(1)
    one, again, other = (random_text(prompt, SDXL, like) for prompt in ("a woman", "a woman", "a man"))
    assert one.context.shape == (1, 77, 2048)
    assert one.added is not None
    assert one.added.shape == (1, 2816)
    assert one.tokens == ()
    for name in ("context", "added"):
        assert torch.equal(getattr(one, name), getattr(again, name))
        assert not torch.equal(getattr(one, name), getattr(other, name))
    assert random_text("a woman", AttentiveUNet.architecture, like).added is None


@pytest.mark.parametrize("wrong", [("--size", "100"), ("--size", "0"), ("--steps", "1"), ("--json", "no/such/x.json")])
def test_wrong_options_train_nothing(
    wrong: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train_on_geometry", "sd15", *wrong])
    monkeypatch.setattr(command, "random_unet", lambda *_: pytest.fail("trained"))
    with pytest.raises(SystemExit, match="2"):
        sys.exit(run("train_on_geometry", None, command.rows, command.OPTIONS))
    assert f"{wrong[0]}: " in capsys.readouterr().err
