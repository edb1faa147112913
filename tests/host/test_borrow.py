"""A model lent to the trainer: what it is trained as, and that it comes back untouched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from respo_train.core.errors import RespoError
from respo_train.host.borrow import Loan, borrowed
from respo_train.host.compute import probe
from respo_train.settings.preset_files import read_config
from respo_train.trainer import train

ROOT = Path(__file__).resolve().parents[2]
EMOJI_WORLD = ROOT / "emoji_world" / "checkpoint" / "emoji_world.safetensors"
PATCHED = "diffusion_model.output_blocks.0.0.in_layers.2.weight"


@pytest.fixture
def loaded(host: SimpleNamespace, pack: SimpleNamespace) -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE as Load Checkpoint makes them: in inference mode."""
    import comfy.sd

    with torch.inference_mode():
        return comfy.sd.load_checkpoint_guess_config(str(EMOJI_WORLD))[:3]


def snapshot(model: Any) -> list[tuple]:
    """All that training could leave behind: bits, types, memory formats, flags, modes, and which tensors these are."""
    tensors = [*model.model.named_parameters(), *model.model.named_buffers()]
    rows: list[tuple] = [
        (
            name,
            id(t),
            t.data_ptr(),
            t.dtype,
            t.device,
            t.stride(),
            t.requires_grad,
            t.detach().clone().numpy().tobytes(),
        )
        for name, t in tensors
    ]
    modes = [(name, module.training, len(module._forward_hooks)) for name, module in model.model.named_modules()]
    return [*rows, *modes, ("backup", list(model.backup)), ("options", repr(model.model_options))]


def train_on(loan: Loan) -> Any:
    config = read_config("gender", {"steps": 2, "batch": 2, "trajectory_steps": 4})
    return train(config, loan.unet)


def ruin(unet: Any) -> None:
    """The worst that training could do, and then it fails."""
    for parameter in unet._net.parameters():
        parameter.data.zero_()
    unet._net.half().train().requires_grad_(True)
    raise ZeroDivisionError


def test_trains_in_inference_mode_and_leaves_the_model_alone(loaded: Any) -> None:
    model, clip, vae = loaded
    assert all(parameter.is_inference() for parameter in model.model.parameters())
    with torch.inference_mode():
        next(model.model.parameters()).requires_grad_(False)
    model.model.diffusion_model.out.train()
    model.model.diffusion_model.input_blocks[1].to(memory_format=torch.channels_last)
    before = snapshot(model)
    with torch.inference_mode(), borrowed(model, clip, vae) as loan:
        assert not torch.is_inference_mode_enabled()
        state = train_on(loan)
        pictures = loan.unet.decode(torch.zeros(1, 4, 16, 16))
    assert all(bool(p.any()) for module in state.modules().values() for p in module.parameters())
    assert pictures is not None
    assert pictures.shape == (1, 3, 128, 128)
    assert snapshot(model) == before


def test_leaves_the_model_alone_after_an_exception_and_gives_memory_back(loaded: Any) -> None:
    model, clip, _ = loaded
    before = snapshot(model)
    with pytest.raises(ZeroDivisionError), borrowed(model, clip) as loan:
        ruin(loan.unet)
    assert snapshot(model) == before
    assert {p.device.type for p in loan.unet._net.parameters()} == {"meta"}
    assert torch.is_grad_enabled()


def test_cancel_is_heard_between_prompts(loaded: Any) -> None:
    """A preset may ask for thousands of them, before the first step."""
    model, clip, _ = loaded
    asked = []

    def check() -> None:
        asked.append(None)
        if len(asked) == 3:
            raise KeyboardInterrupt

    with borrowed(model, clip) as loan:
        loan.unet.before_pass = check
        with pytest.raises(KeyboardInterrupt):
            loan.unet.encode_prompts(["a doctor"] * 9)
    assert len(asked) == 3


def test_trains_on_the_model_as_patched(loaded: Any) -> None:
    model, clip, _ = loaded
    with borrowed(model, clip, precision="float32") as plain:
        original = plain.unet._net.output_blocks[0][0].in_layers[2].weight.clone()
    change = 0.1 * torch.randn(original.shape, generator=torch.Generator().manual_seed(0))
    patched = model.clone()
    patched.add_patches({PATCHED: (change,)})
    with borrowed(patched, clip, precision="float32") as loan:
        torch.testing.assert_close(loan.unet._net.output_blocks[0][0].in_layers[2].weight, original + change)
    assert loan.sha256 != plain.sha256
    with borrowed(model, clip, precision="float32") as again:
        assert torch.equal(again.unet._net.output_blocks[0][0].in_layers[2].weight, original)
    assert again.sha256 == plain.sha256


@pytest.mark.parametrize(("sampling", "velocity"), [("eps", False), ("v_prediction", True), ("lcm", None)])
def test_trains_as_it_samples(loaded: Any, sampling: str, velocity: bool | None) -> None:
    """The node ModelSamplingDiscrete changes how the network's output is read."""
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete

    model, clip, _ = loaded
    (patched,) = ModelSamplingDiscrete().patch(model, sampling, zsnr=False)
    if velocity is None:
        with pytest.raises(RespoError, match="noise or velocity"), borrowed(patched, clip):
            pass
    else:
        with borrowed(patched, clip) as loan:
            assert loan.unet._predicts_velocity is velocity


def test_the_host_is_told_that_it_is_in_training(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.model_management as management

    monkeypatch.setattr(management, "in_training", False, raising=False)
    with borrowed(*loaded) as loan:
        assert management.in_training
    with pytest.raises(ZeroDivisionError), borrowed(*loaded) as loan:
        ruin(loan.unet)
    assert management.in_training is False


def test_the_clip_and_vae_of_another_model(loaded: Any, make_model: Callable) -> None:
    model, clip, vae = loaded
    with (
        pytest.raises(RespoError, match=r"16 numbers per token, found one that gives 128"),
        borrowed(make_model(), clip),
    ):
        pass
    vae.latent_channels = 16
    with pytest.raises(RespoError, match=r"VAE of 4 latent channels, found one of 16"), borrowed(model, clip, vae):
        pass


def test_a_model_that_is_no_unet_and_no_known_transformer(make_model: Callable) -> None:
    wan = make_model()
    wan.model.model_config.unet_config = {"image_model": "wan2.1"}
    wan.model.diffusion_model = torch.nn.Identity()
    with pytest.raises(RespoError, match=r"Flux.* This model is a Identity"), borrowed(wan, None):
        pass


def test_trains_on_patches_that_the_host_applies_at_each_pass(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --novram, or where memory is short, the host keeps plain weights and patches them as they are used."""
    import comfy.model_management as management

    model, clip, _ = loaded
    weight = model.get_model_object(PATCHED)
    patched = model.clone()
    patched.add_patches({PATCHED: (0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)),)})
    with borrowed(patched, clip, precision="float32") as loan:
        expected, baked = probe(loan.unet), loan.sha256
    management.unload_all_models()
    monkeypatch.setattr(management, "vram_state", management.VRAMState.NO_VRAM)
    monkeypatch.setattr(management, "is_device_cpu", lambda device: False)
    with borrowed(patched, clip, precision="float32") as loan:
        assert model.get_model_object(PATCHED.replace(".weight", "")).weight_function  # not patched yet, as planned
        found = probe(loan.unet)
        own = loan.unet._net.output_blocks[0][0].in_layers[2]
        assert not own.weight_function
    assert loan.sha256 == baked
    assert torch.equal(found.prediction, expected.prediction)
    assert torch.equal(found.gradient, expected.gradient)
    patched.detach()


def test_a_model_that_cannot_be_loaded_in_full(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer hosts: the loader left nothing by which the host could load the model again."""
    model, clip, _ = loaded

    def clone(disable_dynamic: bool = False) -> None:
        raise RuntimeError("Cannot create non-dynamic delegate: cached_patcher_init is not initialized.")

    monkeypatch.setattr(model, "is_dynamic", lambda: True, raising=False)
    monkeypatch.setattr(model, "clone", clone)
    with pytest.raises(RespoError, match=r"cached_patcher_init.*Load Checkpoint"), borrowed(model, clip):
        pass
