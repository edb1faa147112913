"""Emoji World as a transformer, at toy depth and untrained: the stock nodes open it and draw with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from emoji_world import __main__ as stages
from emoji_world import train_transformer
from emoji_world.captions import Picture
from emoji_world.pack import write_transformer
from emoji_world.sample import Request, TransformerWorld, World
from emoji_world.training import Loop, split_optimizers

SHIPPED = Path(stages.__file__).parent / "checkpoint" / "emoji_world.safetensors"
LAYERS = 2


@pytest.fixture(scope="module")
def shallow(host: SimpleNamespace) -> Callable[[int], Any]:
    """shallow(seed) -> the network as training begins with it, but of two blocks."""
    from respo_train.host.emoji_world_model import build_transformer

    def build(seed: int) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train_transformer, "host_network", lambda: build_transformer(LAYERS))
            return train_transformer.build(seed)

    return build


@pytest.fixture(scope="module")
def checkpoint(shallow: Callable[[int], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = shallow(0)
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():  # an untrained network predicts zero
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return write_transformer(network.state_dict(), SHIPPED, tmp_path_factory.mktemp("dit") / "transformer.safetensors")


@pytest.fixture(scope="module")
def loaded(pack: SimpleNamespace, host: SimpleNamespace, checkpoint: Path) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE, as the stock loader opens the file once the pack is there."""
    import comfy.sd

    model, clip, vae = comfy.sd.load_checkpoint_guess_config(str(checkpoint))[:3]
    return model, clip, vae


def test_the_stock_loader_opens_it(loaded: tuple[Any, Any, Any], checkpoint: Path) -> None:
    from comfy.ldm.lumina.model import NextDiT
    from comfy.model_base import ModelType
    from safetensors.torch import load_file

    model = loaded[0].model
    assert type(model.diffusion_model) is NextDiT
    assert model.model_type is ModelType.FLOW
    assert len(model.diffusion_model.layers) == LAYERS
    saved = load_file(checkpoint)
    for name, weight in model.diffusion_model.state_dict().items():
        assert torch.equal(weight.float(), saved[f"model.diffusion_model.{name}"].float()), name


def test_registered_once_and_only_for_its_own_files(pack: SimpleNamespace) -> None:
    import comfy.model_detection
    import comfy.supported_models

    from respo_train.host import emoji_world_model

    emoji_world_model.register()  # under another name than the pack's: must not make a second entry
    known = [m.__name__ for m in comfy.supported_models.models]
    assert (known.count("EmojiWorld"), known.count("EmojiWorldTransformer")) == (1, 1)
    other = {"image_model": "lumina2", "dim": 192, "cap_feat_dim": 128, "n_layers": 2, "in_channels": 16}
    found = comfy.model_detection.model_config_from_unet_config(other, {"some.key": torch.zeros(1)})
    assert type(found).__name__ == "Lumina2"


def test_text_and_pictures_are_those_of_the_unets_file(loaded: tuple[Any, Any, Any], comfy_path: Path) -> None:
    ours, (_, clip, vae) = World(SHIPPED, comfy_path / "comfy" / "sd1_tokenizer"), loaded
    words = "a woman pilot on the beach"
    assert torch.allclose(clip.encode_from_tokens(clip.tokenize(words)), ours.context([words]), atol=1e-5)
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(2))
    expected = ours.autoencoder.taesd_decoder(latents).clamp(0, 1)
    assert torch.allclose(vae.decode(latents / 0.18215).permute(0, 3, 1, 2), expected, atol=1e-4)


def test_the_stock_ksampler_takes_euler_steps_along_the_flow(
    loaded: tuple[Any, Any, Any], host: SimpleNamespace
) -> None:
    model, clip, _ = loaded
    positive, negative = (host.nodes.CLIPTextEncode().encode(clip, words)[0] for words in ("a doctor", ""))
    empty = {"samples": torch.zeros(2, 4, 16, 16)}
    (drawn,) = host.nodes.common_ksampler(model, 7, 4, 3.0, "euler", "simple", positive, negative, empty)
    noise = torch.randn(2, 4, 16, 16, generator=torch.manual_seed(7))
    sigmas = [1.0, 0.75, 0.5, 0.25, 0.0]
    contexts = torch.cat([entry[0][0].expand(2, -1, -1) for entry in (positive, negative)])
    network, z = model.model.diffusion_model, noise
    with torch.inference_mode():
        for now, after in pairwise(sigmas):
            velocity = network(torch.cat([z, z]), torch.full((4,), now), contexts, contexts.shape[1])
            wanted, free = velocity.chunk(2)
            z = z + (after - now) * (free + 3.0 * (wanted - free))
    assert torch.allclose(drawn["samples"] * 0.18215, z, atol=1e-3)
    assert (z - noise).abs().max() > 0.1


@pytest.fixture(scope="module")
def ours(shallow: Callable[[int], Any], checkpoint: Path, comfy_path: Path) -> TransformerWorld:
    """The bench's own sampler with the same file."""
    from respo_train.host.emoji_world_model import build_transformer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_transformer, "host_network", lambda: build_transformer(LAYERS))
        return TransformerWorld(checkpoint, comfy_path / "comfy" / "sd1_tokenizer")


def test_the_benchs_own_sampler_draws_what_the_ksampler_draws(
    ours: TransformerWorld, loaded: tuple[Any, Any, Any], host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoji_world.sample.STEPS", 4)
    monkeypatch.setattr("emoji_world.sample.autocast", nullcontext)  # the host draws in float32 on a processor
    model, clip, vae = loaded
    noise = torch.stack([torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(3))])
    monkeypatch.setattr("comfy.sample.prepare_noise", lambda *_: noise)
    positive, negative = (host.nodes.CLIPTextEncode().encode(clip, words)[0] for words in ("a doctor", ""))
    empty = {"samples": torch.zeros(1, 4, 16, 16)}
    (drawn,) = host.nodes.common_ksampler(model, 3, 4, 3.0, "euler", "simple", positive, negative, empty)
    pictures = vae.decode(drawn["samples"]).permute(0, 3, 1, 2)
    assert torch.allclose(ours.draw([Request("a doctor")], [3]), pictures, atol=2e-3)


def test_lending_h_of_the_same_prompt_changes_nothing_and_that_of_the_last_block_everything(
    ours: TransformerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoji_world.sample.STEPS", 2)
    plain, other = (ours.draw([Request(words)], [0]) for words in ("a doctor", "a woman doctor"))
    assert not torch.equal(plain, other)
    for ours.block in (1, 2):
        assert torch.equal(ours.draw([Request("a doctor", "a doctor")], [0]), plain)
    torch.testing.assert_close(ours.draw([Request("a doctor", "a woman doctor")], [0]), other)
    assert not ours.denoiser.transformer.layers[1]._forward_hooks


class Stop(Exception):
    pass


@pytest.mark.parametrize("sizes", [[(16, 16)], [(16, 16), (24, 24), (12, 20)]])
def test_a_stopped_training_resumes_to_the_same_bytes(
    shallow: Callable[[int], Any], comfy_path: Path, tmp_path: Path, sizes: list[tuple[int, int]]
) -> None:
    world = World(SHIPPED, comfy_path / "comfy" / "sd1_tokenizer")
    captions = ["a photo of a doctor", "a woman pilot"]
    pictures = [Picture(captions[at % 2], "plain", "noto", ("neutral", "explicit")[at % 2]) for at in range(8)]
    generator = torch.Generator().manual_seed(3)
    sets = [(torch.randn(8, 4, *size, generator=generator).half(), pictures) for size in sizes]

    def run(file: Path, stop_at: int | None = None) -> dict[str, Tensor]:
        network = shallow(4)
        draw = train_transformer.flow_loss(network, world, sets, batch=2)
        loop = Loop(network, split_optimizers(network, 0.02, 1e-3, train_transformer.PLAIN), file, 6, 5, save_every=2)

        def loss_of(generator: torch.Generator) -> Tensor:
            if loop.step == stop_at:
                raise Stop
            return draw(generator)

        return loop.run(loss_of, "toy")

    whole = run(tmp_path / "whole.pt")
    with pytest.raises(Stop):
        run(tmp_path / train_transformer.STATE, stop_at=3)  # after the state of step 2 was saved
    resumed = run(tmp_path / train_transformer.STATE)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert all(torch.equal(whole[k], v) for k, v in train_transformer.averaged(tmp_path).items())
    begun = shallow(4).state_dict()
    assert not all(torch.equal(whole[name], begun[name]) for name in whole)


def test_before_training_it_predicts_zero_and_every_sigma_is_in_its_stratum(shallow: Callable[[int], Any]) -> None:
    x, sigma = torch.randn(2, 4, 16, 16), torch.tensor([0.2, 0.9])
    assert not shallow(0)(x, sigma, torch.randn(2, 24, 128), 24).any()
    drawn = train_transformer._sigmas(64, torch.Generator().manual_seed(0)).sort().values
    edges = torch.sigmoid(0.2 + 1.2 * torch.special.ndtri(torch.arange(1, 64) / 64))
    assert (drawn[:-1] <= edges).all()
    assert (drawn[1:] >= edges).all()


def test_measuring_without_the_file_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stages, "TRANSFORMER", tmp_path / "emoji_world_transformer.safetensors")
    with pytest.raises(SystemExit, match=r"transformer\.safetensors is not there\. Train it: python -m"):
        stages.measure_transformer(SimpleNamespace(steps=1))  # type: ignore[arg-type]


def test_each_further_training_begins_with_the_weights_of_the_one_before(
    shallow: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trainings = train_transformer.FURTHER
    torch.save({"average": shallow(7).state_dict()}, tmp_path / train_transformer.STATE)
    begun: list[dict[str, Tensor]] = []

    def loss_with(network: torch.nn.Module, _: World, sets: list[Any], emphasis: object) -> Callable[..., Tensor]:
        one = trainings[len(begun)]
        begun.append({name: weight.clone() for name, weight in network.state_dict().items()})
        assert emphasis == one.emphasis
        others = [train_transformer.OF_OTHER_SIZES] * len(train_transformer.SIZES)
        assert [len(pictures) for _, pictures in sets] == [one.pictures, *others]
        return lambda _: sum((weight.sum() for weight in network.parameters()), torch.tensor(0.0))

    monkeypatch.setattr(train_transformer, "host_network", lambda: shallow(0))
    monkeypatch.setattr(train_transformer, "encode", lambda *_: torch.zeros(0))
    monkeypatch.setattr(train_transformer, "flow_loss", loss_with)
    data = [SimpleNamespace(pictures=[None] * train_transformer.PICTURES)] * (1 + len(train_transformer.SIZES))
    train_transformer.go_on(data, SimpleNamespace(), tmp_path, 0, steps=2)  # type: ignore[arg-type]
    states = [train_transformer.STATE, *(one.state for one in trainings)]
    for weights, state in zip(begun, states, strict=False):
        before = torch.load(tmp_path / state, weights_only=True)["average"]
        assert all(torch.equal(weights[name], before[name]) for name in before)
    last = torch.load(tmp_path / states[-1], weights_only=True)["average"]
    assert all(torch.equal(last[name], weight) for name, weight in train_transformer.averaged(tmp_path).items())


@pytest.mark.parametrize(
    ("caption", "kind", "weight"),
    [
        ("a photo of a woman pilot", "explicit", 12.0),
        ("a photo of a female dark-skinned pilot at night", "explicit", 12.0),
        ("a photo of a pilot with dark skin", "explicit", 4.0),
        ("a photo of a pilot", "neutral", 1.0),
        ("a photo of a pilot at night", "neutral", 6.0),
    ],
)
def test_captions_that_name_the_rare_gender_are_seen_oftener(caption: str, kind: str, weight: float) -> None:
    pilot = Picture(caption, "plain", "noto", kind, "pilot", "woman", 0)
    assert train_transformer.FURTHER[-1].emphasis.of(pilot) == weight


def test_the_usual_gender_is_not_seen_oftener() -> None:
    emphasis = train_transformer.FURTHER[-1].emphasis
    assert emphasis.of(Picture("a woman nurse", "plain", "noto", "explicit", "nurse", "woman", 0)) == 4.0
    assert emphasis.of(Picture("a man nurse", "plain", "noto", "explicit", "nurse", "man", 0)) == 12.0
    assert emphasis.of(Picture("a woman", "plain", "noto", "explicit", "person", "woman", 0)) == 12.0
    first = train_transformer.Emphasis()
    assert first.of(Picture("a man nurse", "plain", "noto", "explicit", "nurse", "man", 0)) == 3.0
