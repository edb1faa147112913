"""Balance notes "other weights" for a fine-tune, and not for the module's own checkpoint, however it was loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "emoji_world" / "checkpoint" / "emoji_world.safetensors"
MODULE = ROOT / "emoji_world" / "modules" / "emoji_world_gender.safetensors"
WEIGHT = "diffusion_model.middle_block.0.out_layers.3.weight"
PRECISIONS = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


@pytest.fixture(scope="module")
def gender(pack: SimpleNamespace) -> Any:
    attribute = pack.core.files.checkpoint.load_attribute(MODULE)
    return pack.root.nodes.shared.wire.LoadedModule(attribute, MODULE.name, "0" * 64)


@pytest.fixture
def world(host: SimpleNamespace, pack: SimpleNamespace) -> Callable[..., Any]:
    """world(torch.float16, {key: weight}) -> the host's MODEL of Emoji World, with some weights replaced."""
    if not CHECKPOINT.exists():
        pytest.skip("Emoji World's checkpoint has not been made yet")
    import comfy.sd
    import comfy.utils

    def load(precision: torch.dtype, changed: Callable | None = None) -> Any:
        state = comfy.utils.load_torch_file(str(CHECKPOINT))
        if changed is not None:
            state[f"model.{WEIGHT}"] = changed(state[f"model.{WEIGHT}"].float())
        model = comfy.sd.load_state_dict_guess_config(state, model_options={"dtype": precision})[0]
        assert model.get_model_object(WEIGHT).dtype == precision
        return model

    return load


@pytest.fixture
def note(run_node: Callable, gender: Any) -> Callable[[Any], str]:
    """note(model) -> the part of Balance's text that is a note."""
    return lambda model: run_node("RespoBalance", model=model, module=gender).ui["text"][0].partition("\n")[2]


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_a_precision_is_no_other_checkpoint(note: Callable, world: Callable, precision: torch.dtype) -> None:
    assert note(world(precision)) == ""


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_a_fine_tune_is_one(note: Callable, world: Callable, precision: torch.dtype) -> None:
    def tuned(weight: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        return weight + 0.03 * weight.std() * noise

    assert "other weights" in note(world(precision, tuned))


@pytest.mark.parametrize("precision", [torch.float16, torch.float8_e4m3fn], ids=str)
def test_a_lora_is_no_other_checkpoint(note: Callable, world: Callable, precision: torch.dtype) -> None:
    """A LoRA changes what the module meets, but its user knows of it: the note speaks of the checkpoint."""
    import comfy.model_management

    plain = world(precision)
    with_lora = plain.clone()
    change = torch.randn(plain.get_model_object(WEIGHT).shape)
    assert with_lora.add_patches({WEIGHT: ("diff", (change,))}, 0.5) == [WEIGHT]
    assert note(with_lora) == ""  # before the host has applied it
    before = plain.get_model_object(WEIGHT).float().clone()
    with torch.inference_mode():  # as the host runs its nodes
        comfy.model_management.load_models_gpu([with_lora], force_full_load=True)
    assert not torch.equal(with_lora.get_model_object(WEIGHT).float(), before)
    assert note(with_lora) == ""
    assert note(plain) == ""  # which shares the weights that the LoRA has changed
    with_lora.detach()
