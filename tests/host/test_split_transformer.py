"""The trainer's two halves of a transformer compute what the host's whole network computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from respo_train.core.errors import ArchitectureMismatch, RespoError
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.architecture import Architecture
from respo_train.job import Stopped, train_to_file
from respo_train.network import Conditioning
from respo_train.provenance import Base
from respo_train.report.preview import Previews
from respo_train.settings.preset_files import read_config
from respo_train.trainer import TrainState, train

SHIPPED = Path(__file__).resolve().parents[2] / "emoji_world" / "checkpoint" / "emoji_world.safetensors"


@pytest.fixture(scope="module")
def checkpoint(host: SimpleNamespace, pack: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Emoji World's transformer of three blocks and random weights."""
    from emoji_world.pack import write_transformer
    from respo_train.host.emoji_world_model import build_transformer

    network = build_transformer(layers=3)
    generator = torch.Generator().manual_seed(0)
    weights = {n: 0.06 * torch.randn(p.shape, generator=generator) for n, p in network.named_parameters()}
    return write_transformer(weights, SHIPPED, tmp_path_factory.mktemp("dit") / "transformer.safetensors")


@pytest.fixture(scope="module")
def load(checkpoint: Path) -> Callable[..., Any]:
    from respo_train.host.load import load_unet

    return partial(load_unet, checkpoint, "float32")


@pytest.fixture(scope="module")
def split(load: Callable[..., Any]) -> Any:
    return load(block=2)


@pytest.fixture(scope="module")
def prompts(split: Any) -> list[Conditioning]:
    found: list[Conditioning] = split.encode_prompts(["a doctor", "a woman"])
    return found


LATENTS = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
TIMESTEPS = torch.tensor([900, 120])


def whole(split: Any, latents: Tensor, timesteps: Tensor, context: Tensor, hook: Any = None) -> Tensor:
    """The noise that the host's network predicts in one go; `hook` sees the output of its second block."""
    sigma = ((timesteps + 1) / 1001).view(-1, 1, 1, 1)
    scale = ((1 - sigma) ** 2 + sigma**2).sqrt()
    handle = split._net.layers[1].register_forward_hook(hook) if hook else None
    try:
        with torch.no_grad():
            x = scale * latents
            tokens = context.expand(len(x), -1, -1)
            velocity = split._net(x, sigma.flatten(), context=tokens, num_tokens=context.shape[1])
    finally:
        if handle:
            handle.remove()
    return x + (1 - sigma) * velocity


def test_what_it_says_of_itself(split: Any, load: Callable[..., Any]) -> None:
    assert split.architecture == Architecture("emoji_world_transformer", 192, 128, 0, 192, 2)
    assert split.latent_shape == (4, 16, 16)
    assert split.attention_layers == 0
    assert len(split.fingerprint) == 64
    assert load().architecture.block == 1  # half of three
    assert load(block=3).fingerprint != split.fingerprint
    alphas = split.alphas_cumprod
    assert len(alphas) == 1000
    assert (alphas[:-1] > alphas[1:]).all()
    assert 0.999 < alphas[0] < 1
    assert 0 < alphas[-1] < 2e-6


def test_both_halves_are_the_whole_network(split: Any, prompts: list[Conditioning]) -> None:
    encoded = split.encoder(LATENTS, TIMESTEPS, prompts[0])
    assert encoded.h.shape == (2, 192, 8, 8)
    expected = whole(split, LATENTS, TIMESTEPS, prompts[0].context)
    torch.testing.assert_close(split.decoder(encoded, encoded.h), expected, atol=1e-5, rtol=1e-5)


def test_h_is_added_to_the_image_tokens_in_row_order_and_to_no_text(split: Any, prompts: list[Conditioning]) -> None:
    change = torch.randn(192, 8, 8, generator=torch.Generator().manual_seed(2))

    def add(_: Any, __: Any, output: Tensor) -> Tensor:
        output = output.clone()
        for row in range(8):
            for column in range(8):
                output[:, 24 + 8 * row + column] += change[:, row, column]
        return output

    encoded = split.encoder(LATENTS, TIMESTEPS, prompts[0])
    expected = whole(split, LATENTS, TIMESTEPS, prompts[0].context, add)
    found = split.decoder(encoded, encoded.h + change)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (found - split.decoder(encoded, encoded.h)).abs().max() > 1e-3


def test_any_size(split: Any, prompts: list[Conditioning]) -> None:
    latents = torch.randn(2, 4, 12, 26)
    encoded = split.encoder(latents, TIMESTEPS, prompts[1])
    assert encoded.h.shape == (2, 192, 6, 13)
    expected = whole(split, latents, TIMESTEPS, prompts[1].context)
    torch.testing.assert_close(split.decoder(encoded, encoded.h), expected, atol=1e-5, rtol=1e-5)


def test_only_blocks_behind_k_run_in_the_second_half(split: Any, prompts: list[Conditioning], monkeypatch: Any) -> None:
    from comfy.ldm.lumina.model import JointTransformerBlock

    ran = []
    original = JointTransformerBlock.forward

    def forward(self: Any, *arguments: Any, **named: Any) -> Any:
        ran.append(self)
        return original(self, *arguments, **named)

    monkeypatch.setattr(JointTransformerBlock, "forward", forward)
    split._wrap_blocks(lambda own: own)
    encoded = split.encoder(LATENTS, TIMESTEPS, prompts[0])
    first = [block for name in ("context_refiner", "noise_refiner") for block in getattr(split._net, name)]
    assert ran == [*first, *split._net.layers[:2]]
    ran.clear()
    split.decoder(encoded, encoded.h)
    assert ran == [split._net.layers[2]]
    monkeypatch.undo()
    split._wrap_blocks(lambda own: own)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_gradient_of_h(load: Callable[..., Any], prompts: list[Conditioning], checkpointing: bool) -> None:
    split = load(block=1, checkpointing=checkpointing)
    encoded = split.encoder(LATENTS, TIMESTEPS, prompts[0])
    h = encoded.h.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(split.decoder(encoded, h).square().sum(), h)
    step = torch.randn(h.shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        up, down = (split.decoder(encoded, encoded.h + sign * step).square().sum() for sign in (1e-2, -1e-2))
    assert float((gradient * step).sum()) == pytest.approx(float((up - down) / 2e-2), rel=2e-2)


def test_threads_do_not_mix(split: Any, prompts: list[Conditioning]) -> None:
    def run(index: int) -> Tensor:
        latents = LATENTS + index
        encoded = split.encoder(latents, TIMESTEPS, prompts[index % 2])
        found: Tensor = split.decoder(encoded, encoded.h + 0.1 * index).detach()
        return found

    alone = [run(index) for index in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(run, range(8)), alone, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def few_steps(split: Any, **changes: Any) -> TrainState:
    return train(read_config("gender", {"steps": 3, "batch": 4, "trajectory_steps": 8, **changes}), split)


def test_it_trains_at_guidance_1(split: Any) -> None:
    """As distilled models are used: the target is led from the neutral prediction, not from an unconditional one."""
    frozen = {key: value.clone() for key, value in split._net.state_dict().items()}
    first, again = (few_steps(split, target_from="neutral", trajectory_guidance=1.0, map_width=8) for _ in range(2))
    for one, other in zip(first.modules().values(), again.modules().values(), strict=True):
        assert one.responsible.value().shape == (192, 4, 4)
        assert any(parameter.abs().max() > 0 for parameter in one.parameters())
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(value, frozen[key]) for key, value in split._net.state_dict().items())


class StopAt:
    """Ends a run after a step, as a closed window does."""

    def __init__(self, step: int):
        self.step = step

    def after_step(self, state: TrainState) -> None:
        if state.step == self.step:
            raise Stopped("enough")

    def finish(self, state: TrainState) -> None:
        """See `job.Watcher`."""


def test_a_stopped_run_goes_on_to_the_same_module_and_draws_previews(split: Any, tmp_path: Path) -> None:
    settings = {"steps": 4, "batch": 2, "trajectory_steps": 4, "block": 2, "preview": ["a doctor"]}
    config = read_config("gender", settings)
    base = Base("transformer.safetensors", "ab" * 32, "transformer.safetensors")
    train_to_file(config, split, base, tmp_path / "whole.safetensors")
    with pytest.raises(Stopped):
        train_to_file(config, split, base, tmp_path / "cut.safetensors", [StopAt(2)])
    trained = train_to_file(config, split, base, tmp_path / "cut.safetensors", resume=True)
    whole, cut = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert {own.dtype for own in whole.values()} == {torch.float16}
    assert load_attribute(tmp_path / "cut.safetensors").architecture == split.architecture
    sheet = Previews(config, split).draw(trained.concepts, 4)
    assert sheet is not None
    assert sheet.pictures.shape == (1, 1 + len(trained.concepts), 2, 128, 128, 3)


def test_a_borrowed_transformer_trains_as_the_loaded_one(split: Any, checkpoint: Path) -> None:
    import comfy.sd

    from respo_train.host.borrow import borrowed

    model, clip, vae = comfy.sd.load_checkpoint_guess_config(str(checkpoint))[:3]
    before = model.model.diffusion_model.layers[0].forward
    with torch.inference_mode(), borrowed(model, clip, vae, precision="float32", block=2) as loan:
        assert loan.unet.architecture == split.architecture
        lent = few_steps(loan.unet)
    for one, other in zip(lent.modules().values(), few_steps(split).modules().values(), strict=True):
        torch.testing.assert_close(one.responsible.value(), other.responsible.value())
    assert model.model.diffusion_model.layers[0].forward == before  # the user's own network is as it was


def test_the_nodes_apply_a_module_as_the_trainer_does(
    split: Any, checkpoint: Path, prompts: list[Conditioning], run_node: Callable[..., Any], module: Any, pack: Any
) -> None:
    import comfy.sample
    import comfy.samplers
    import comfy.sd

    model = comfy.sd.load_checkpoint_guess_config(str(checkpoint))[0]
    concept = pack.core.module.concept.ConceptModule(192, 8, 8, map_width=4)
    generator = torch.Generator().manual_seed(4)
    for parameter in concept.parameters():
        parameter.data.normal_(0, 0.5, generator=generator)
    architecture = pack.guard.architecture_of(model, 2)
    assert architecture.to_dict() == split.architecture.to_dict()
    attribute = replace(module.attribute, architecture=architecture, concepts={"woman": concept}, base={}, probe=None)
    own = replace(module, attribute=attribute, sha256="5" * 64)
    patched = run_node("RespoApplyModule", model=model, module=own, concept="woman")[0]

    # One step of the host's sampler from the trainer's latents to the picture, x - sigma v.
    timesteps = torch.tensor([700, 700])
    sigma = 701 / 1001
    x = ((1 - sigma) ** 2 + sigma**2) ** 0.5 * LATENTS
    prompt = [[prompts[0].context, {}]]
    step = comfy.samplers.sampler_object("euler")
    sigmas, empty = torch.tensor([sigma, 0.0]), torch.zeros_like(x)
    picture = comfy.sample.sample_custom(patched, x / sigma, 1.0, step, sigmas, prompt, prompt, empty, seed=1) * 0.18215
    encoded = split.encoder(LATENTS, timesteps, prompts[0])
    with torch.no_grad():
        expected = split.decoder(encoded, concept(encoded.h))
    torch.testing.assert_close(x + (1 - sigma) * (x - picture) / sigma, expected, atol=1e-3, rtol=1e-3)
    assert (expected - split.decoder(encoded, encoded.h)).abs().max() > 0.01


def test_what_is_refused(split: Any, load: Callable[..., Any], prompts: list[Conditioning]) -> None:
    with pytest.raises(RespoError, match="cross-attention"):
        split.encoder(LATENTS, TIMESTEPS, prompts[0], hook=lambda *_: None)
    with pytest.raises(RespoError, match="cross-attention"):
        few_steps(split, objective="where")
    with pytest.raises(RespoError, match="at least 4 blocks, found 3"):
        load(block=4)
    from respo_train.host.load import load_unet

    with pytest.raises(RespoError, match="found a U-Net"):
        load_unet(SHIPPED, "float32", block=2)
    with pytest.raises(ArchitectureMismatch, match=r"behind block 2.*behind block 3") as caught:
        split.architecture.require(load(block=3).architecture)
    assert "\n" not in str(caught.value)
