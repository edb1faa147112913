"""One definition of "open": the shipped probes, by the prompts of open_prompts.toml that their encoder can read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from open_prompts import Asked, accuracy, asked
from safetensors import safe_open

from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.gate.is_open import is_open
from respo_train.core.module.attribute import Attribute
from respo_train.host.split_unet import HostUNet

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "emoji_world"
CHECKPOINT = BENCH / "checkpoint" / "emoji_world.safetensors"
# What the shipped probes get wrong of the prompts that may be looked at. They know half of Emoji World's things, and
# "woman" best where a noun follows it; mending this takes other modules, and all figures measured with them anew.
MISSES = {("gender", "a guitar"), ("gender", "a flower"), ("gender", "a doctor with a woman")}


@pytest.fixture(scope="module")
def shipped() -> dict[str, Attribute]:
    names = ("gender", "skin tone")
    return {
        one: load_attribute(BENCH / "modules" / f"emoji_world_{one.replace(' ', '_')}.safetensors") for one in names
    }


@pytest.fixture(scope="module")
def encoded(unet: HostUNet) -> Callable[[str], torch.Tensor]:
    return lambda prompt: unet.encode_prompts([prompt])[0].context


@pytest.fixture(scope="module")
def readable(unet: HostUNet, shipped: dict[str, Attribute]) -> list[Asked]:
    """The prompts of which the encoder has learnt every word: all others are one and the same word to it."""
    with safe_open(CHECKPOINT, "pt") as file:
        learnt = set(file.get_tensor("emoji_world.token_ids").tolist())

    def can_read(prompt: str) -> bool:
        (chunks,) = unet._clip.tokenize(prompt).values()
        return all(not isinstance(token, torch.Tensor) and token in learnt for chunk in chunks for token, *_ in chunk)

    return [one for one in asked() if one.attribute in shipped and can_read(one.prompt)]


def test_the_probes_read_them_as_defined(readable: list[Asked], shipped: dict, encoded: Callable) -> None:
    def probe(one: Asked) -> bool:
        return is_open(shipped[one.attribute], encoded=encoded(one.prompt)).open

    right = accuracy(readable, probe)
    print(f"\n{len(readable)} prompts; probes: {right[False]:.3f}, held out {right[True]:.3f}")  # noqa: T201 - seen with -s
    assert len(readable) >= 70
    missed = {(one.attribute, one.prompt) for one in readable if not one.held_out and probe(one) != one.open}
    assert missed == MISSES
    assert right[True] >= 0.9


def test_both_together_miss_none_of_them(readable: list[Asked], shipped: dict, encoded: Callable) -> None:
    """As where Gate is linked to Balance."""
    right = accuracy(readable, lambda one: is_open(shipped[one.attribute], one.prompt, encoded(one.prompt)).open)
    assert right[False] == 1
    assert right[True] >= 0.95


@pytest.mark.parametrize("prompt", ["women doctors", "men nurses"])
def test_words_that_the_encoder_has_not_learnt(prompt: str, shipped: dict, encoded: Callable) -> None:
    """The probe cannot know them: what it reads is the same for any other unknown word. The Gate does."""
    gender = shipped["gender"]
    assert torch.equal(encoded(prompt), encoded(prompt.replace("women", "sleepy").replace("men", "sleepy")))
    assert is_open(gender, encoded=encoded(prompt)).open
    assert not is_open(gender, prompt, encoded(prompt)).open
