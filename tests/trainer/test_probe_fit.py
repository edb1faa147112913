"""Fitting a probe to a text encoder of single words; on the real one: tests/host/test_probe_works.py."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toy_unet import ToyUNet

from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.probe import PromptProbe
from respo_train.job import Base, train_to_file
from respo_train.network import Conditioning
from respo_train.probe.fit import fit_probe
from respo_train.probe.sentences import probe_prompts
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import PRESETS, read_config

WIDTH, PLACES = 48, 14
PRESETS_WITH_A_PROBE = ("gender", "skin_tone")


class Words(ToyUNet):
    """Encodes each word by a vector of its own, with a little of the word before it."""

    blind_to: tuple[str, ...] = ()

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        return [self.encode(prompt.split()) for prompt in prompts]

    def encode(self, words: list[str]) -> Conditioning:
        padded = ["<begin>", *words, *["<end>"] * (PLACES - 1 - len(words))]
        vectors = torch.stack([self.vector(word) for word in padded])
        context = vectors + 0.2 * vectors.roll(1, 0)
        tokens = [None if word.startswith("<") else number(word) for word in padded]
        return Conditioning(context[None], None, tuple(tokens))

    def vector(self, word: str) -> Tensor:
        known = "person" if word in self.blind_to else word
        return 5 + 3 * torch.randn(WIDTH, generator=torch.Generator().manual_seed(number(known)))


def number(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "little")


def fitted(config: TrainConfig, unet: ToyUNet) -> PromptProbe:
    probe = fit_probe(config, unet)
    assert probe is not None
    return probe


def answers(probe: PromptProbe, unet: ToyUNet, prompts: Sequence[str]) -> list[bool]:
    return probe.leaves_open(torch.cat([prompt.context for prompt in unet.encode_prompts(prompts)])).tolist()


@pytest.mark.parametrize("preset", PRESETS_WITH_A_PROBE)
def test_tells_apart_what_it_was_fitted_to(preset: str) -> None:
    config, unet = read_config(preset), Words()
    probe, prompts = fitted(config, unet), probe_prompts(config)
    assert probe.width == WIDTH
    assert [len(word) for word in probe.words] == [1] * len(config.concepts)
    assert all(answers(probe, unet, prompts.open))
    assert not any(answers(probe, unet, prompts.stated))
    assert not any(answers(probe, unet, prompts.nobody))
    # Which of both questions it was that said no:
    for texts, column, yes in ((prompts.stated, 0, True), (prompts.stated, 1, True), (prompts.nobody, 0, False)):
        context = torch.cat([prompt.context for prompt in unet.encode_prompts(texts)])
        assert torch.all((probe(context)[:, column] > 0) == yes)


def test_a_word_is_known_wherever_it_stands() -> None:
    config, unet = read_config("gender"), Words()
    prompts = ["a doctor who is a woman", "in the kitchen a man is a doctor", "woman"]
    assert answers(fitted(config, unet), unet, prompts) == [False] * 3


def test_the_same_bytes_every_time() -> None:
    config = read_config("gender")
    one, two = (dict(fitted(config, Words(seed)).named_buffers()) for seed in (0, 1))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in one.values())


def test_without_sentences_there_is_none() -> None:
    assert fit_probe(read_config("gender", {"probe": {"nobody": []}}), Words()) is None
    others = {path.stem for path in PRESETS.glob("*.toml")} - set(PRESETS_WITH_A_PROBE)
    assert others
    assert all(fit_probe(read_config(preset), Words()) is None for preset in others)


def test_a_text_encoder_that_cannot_tell() -> None:
    """To this one a woman and a person are the same."""
    unet = Words()
    unet.blind_to = ("woman", "man")
    with pytest.raises(RespoError, match=r"does not tell prompts with the concepts' words .* leave \[probe\] out"):
        fit_probe(read_config("gender"), unet)


def test_a_text_encoder_that_does_not_say_its_tokens() -> None:
    class Silent(Words):
        def encode(self, words: list[str]) -> Conditioning:
            return Conditioning(super().encode(words).context)

    with pytest.raises(RespoError, match="no sentence of the probe contains the tokens of 'woman'"):
        fit_probe(read_config("gender"), Silent())


def test_sentences_of_unequal_length() -> None:
    class Growing(Words):
        def encode(self, words: list[str]) -> Conditioning:
            found = super().encode(words)
            return Conditioning(found.context.repeat(1, 1 + ("night" in words), 1), None, found.tokens)

    with pytest.raises(
        RespoError, match=r"the same number of tokens in the text encoder, found \[14, 28\]; shorten .*\[probe\]"
    ):
        fit_probe(read_config("gender"), Growing())


def test_the_file_of_a_run_has_it(tmp_path: Path) -> None:
    config, base = read_config("gender", {"steps": 2, "batch": 2, "trajectory_steps": 4}), Base("toy", "0" * 64)
    made = train_to_file(config, ToyUNet(), base, tmp_path / "with.safetensors")
    wanted = dict(fitted(config, ToyUNet()).named_buffers())
    for probe in (made.probe, load_attribute(tmp_path / "with.safetensors").probe):
        assert probe is not None
        assert all(torch.equal(value, wanted[key]) for key, value in probe.named_buffers())
    plain = read_config("gender", {"steps": 2, "batch": 2, "trajectory_steps": 4, "probe": {"nobody": []}})
    train_to_file(plain, ToyUNet(), base, tmp_path / "without.safetensors")
    without = load_attribute(tmp_path / "without.safetensors")
    assert without.probe is None
    for name, module in without.concepts.items():  # it changes nothing of what is trained
        assert torch.equal(module.delta(4, 4), made.concepts[name].delta(4, 4))


def test_what_it_refuses_is_known_before_the_training(tmp_path: Path) -> None:
    class Blind(ToyUNet):
        def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
            return [Conditioning(one.context[:, :1], None, one.tokens[:1]) for one in super().encode_prompts(prompts)]

    unet = Blind()
    with pytest.raises(RespoError, match="no sentence of the probe"):
        train_to_file(read_config("gender", {"steps": 2}), unet, Base("toy", "0" * 64), tmp_path / "x.safetensors")
    assert unet.seen == []
    assert list(tmp_path.iterdir()) == []
