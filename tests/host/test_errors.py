"""What a node says when a file, a name or a model is not what it should be."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

NAME = "tests/gender.safetensors"
BAD_NAMES = [
    "../secret.safetensors",
    "tests/../../secret.safetensors",
    "..\\secret.safetensors",
    "/etc/secret.safetensors",
    "C:\\secret.safetensors",
    "gender.ckpt",
    "x" * 300 + ".safetensors",
    "nul\0.safetensors",
    "half a letter \ud800.safetensors",
    ["a", 1],
    float("nan"),
]


@pytest.fixture
def raises(pack):
    """raises(ErrorName, *parts): the pack's own error has to come, with each of the parts in its message."""

    @contextmanager
    def check(name, *parts):
        with pytest.raises(getattr(pack.core.errors, name)) as caught:
            yield
        assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)

    return check


def test_load_module_shows_what_is_in_the_file(run_node, module_folder):
    text = run_node("RespoLoadModule", module=NAME).ui.as_dict()["text"][0]
    for part in ("gender: woman, man", "small.safetensors", "respodiff", "128 channels"):
        assert part in text


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: str(name)[:30])
def test_hostile_names(run_node, module_folder, raises, name):
    (module_folder.parent / "secret.safetensors").write_bytes(b"")
    with raises("ModuleFileError", "inside the 'respo' model folder"):
        run_node("RespoLoadModule", module=name)


def test_link_out_of_the_folder(run_node, module_folder, raises, tmp_path):
    (tmp_path / "outside.safetensors").write_bytes((module_folder / NAME).read_bytes())
    try:
        (module_folder / "link.safetensors").symlink_to(tmp_path / "outside.safetensors")
    except OSError:
        pytest.skip("this system does not let us make links")
    with raises("ModuleFileError", "leads out of"):
        run_node("RespoLoadModule", module="link.safetensors")


def test_missing_module_says_where_to_put_it(host, run_node, module_folder, raises):
    node = host.nodes.NODE_CLASS_MAPPINGS["RespoLoadModule"]
    line = node.validate_inputs(module="new/age.safetensors", sha256="abc123")
    for part in ("new/age.safetensors", "abc123", "models", "respo", NAME):
        assert part in line
    with raises("ModuleFileError", line):
        run_node("RespoLoadModule", module="new/age.safetensors", sha256="abc123")
    assert node.validate_inputs(module=NAME) is True
    assert node.validate_inputs(module=None) is True  # linked


def test_expected_hash(run_node, module, raises):
    assert run_node("RespoLoadModule", module=NAME, sha256=module.sha256[:12].upper())[0].sha256 == module.sha256
    with raises("ModuleFileError", "123456", module.sha256):
        run_node("RespoLoadModule", module=NAME, sha256="123456")


def test_changed_content_is_another_module(host, module_folder):
    node = host.nodes.NODE_CLASS_MAPPINGS["RespoLoadModule"]
    path = module_folder / "changing.safetensors"
    path.write_bytes(b"one")
    before = node.fingerprint_inputs(module=path.name)
    linked = node.fingerprint_inputs(module=None)
    path.write_bytes(b"other")
    assert node.fingerprint_inputs(module=path.name) != before
    assert node.fingerprint_inputs(module=None) != linked


def test_truncated_file(run_node, module_folder, raises):
    whole = (module_folder / NAME).read_bytes()
    (module_folder / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    with raises("ModuleFileError", "half.safetensors"):
        run_node("RespoLoadModule", module="half.safetensors")


def test_not_a_number_inside(run_node, module_folder, raises):
    data = bytearray((module_folder / NAME).read_bytes())
    data[-4:] = b"\x00\x00\xc0\x7f"
    (module_folder / "nan.safetensors").write_bytes(data)
    with raises("ModuleFileError", "nan.safetensors", "NaN"):
        run_node("RespoLoadModule", module="nan.safetensors")


@pytest.mark.parametrize("node", ["RespoApplyModule", "RespoBalance"])
def test_another_architecture(run_node, make_model, module, raises, node):
    with raises("ArchitectureMismatch", "unet-32-16", "unet-32-24"):
        run_node(node, model=make_model(context_dim=24), module=module)


def test_no_middle_block(run_node, make_model, module, raises):
    cut = make_model()
    cut.model.diffusion_model.middle_block = None
    with raises("RespoError", "UNetModel"):
        run_node("RespoApplyModule", model=cut, module=module)


def test_no_unet(run_node, make_model, module, raises):
    other = make_model()
    other.model.model_config.unet_config = {"image_model": "wan2.1"}
    with raises("RespoError", "steers U-Nets", "these transformers"):
        run_node("RespoBalance", model=other, module=module)


def test_unknown_concept(run_node, model, module, raises):
    with raises("UnknownConcept", "robot", "woman, man"):
        run_node("RespoApplyModule", model=model, module=module, concept="robot")
    with raises("UnknownConcept", "robot", "woman, man"):
        run_node("RespoBalance", model=model, module=module, distribution="robot 1, man 1")


def test_distribution_that_cannot_be_read(run_node, model, module, raises):
    with raises("RespoError", "woman 1, man 1", "50%"):
        run_node("RespoBalance", model=model, module=module, distribution="50%")


@pytest.mark.parametrize("name", ["strength", "fidelity"])
def test_strength_that_is_no_number(run_node, model, module, raises, name):
    with raises("RespoError", name, "nan"):
        run_node("RespoApplyModule", model=model, module=module, **{name: float("nan")})


def note(run_node, model, module):
    """The text on Apply Module's face."""
    return run_node("RespoApplyModule", model=model, module=module).ui.as_dict()["text"][0]


def test_another_checkpoint_is_a_note(run_node, make_model, model, module):
    assert "Note" not in note(run_node, model, module)
    assert "small.safetensors" in note(run_node, make_model(seed=9), module)
    unknown = replace(module, attribute=replace(module.attribute, base={}))
    assert "Note" in note(run_node, model, unknown)


def test_precision_and_lora_are_no_other_checkpoint(run_node, make_model, module):
    key = "diffusion_model.middle_block.0.out_layers.3.weight"
    half = make_model()
    half.model.half()
    assert "Note" not in note(run_node, half, module)
    with_lora = make_model()
    weight = with_lora.get_model_object(key).detach().clone()
    with_lora.add_patches({key: (torch.randn(weight.shape),)})
    with_lora.patch_model()
    assert not torch.allclose(with_lora.get_model_object(key), weight)
    assert "Note" not in note(run_node, with_lora, module)


def test_setting_hides_the_checkpoint(host, pack, tmp_path, monkeypatch):
    monkeypatch.setattr(host.folder_paths, "get_user_directory", lambda: str(tmp_path))
    settings = tmp_path / "default" / "comfy.settings.json"
    assert pack.folders.shows_checkpoint()
    settings.parent.mkdir()
    for text, shown in [("{}", True), ("{broken", True), ("[]", True)]:
        settings.write_text(text)
        assert pack.folders.shows_checkpoint() is shown
    for value in (True, False):
        settings.write_text(json.dumps({pack.folders.SHOW_CHECKPOINT: value}))
        assert pack.folders.shows_checkpoint() is value


def test_hidden_checkpoint_is_not_listed(host, pack, tmp_path, monkeypatch):
    monkeypatch.setattr(host.folder_paths, "get_user_directory", lambda: str(tmp_path))
    (tmp_path / "default").mkdir()
    for value in (False, True):
        monkeypatch.setitem(
            host.folder_paths.folder_names_and_paths, "checkpoints", ([str(tmp_path)], {".safetensors"})
        )
        (tmp_path / "default" / "comfy.settings.json").write_text(json.dumps({pack.folders.SHOW_CHECKPOINT: value}))
        pack.folders.register()
        folders = [Path(folder) for folder in host.folder_paths.get_folder_paths("checkpoints")]
        assert any(folder.parts[-2:] == ("emoji_world", "checkpoint") for folder in folders) is value
