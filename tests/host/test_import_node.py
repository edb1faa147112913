"""Import Module through the host, and what an imported module is used as; see tests/foreign_files.py for the files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import foreign_files
import pytest
import torch
from foreign_files import FC1


@pytest.fixture
def folder(module_folder: Path, host: Any, monkeypatch: Any, tmp_path: Path) -> Path:
    """The first `respo` folder, with RespoDiff's file (women and men) and SDisc's in it."""
    paths, filters = host.folder_paths.folder_names_and_paths["respo"]
    monkeypatch.setitem(host.folder_paths.folder_names_and_paths, "respo", ([str(tmp_path), *paths], filters))
    foreign_files.respodiff(tmp_path / "unet.pth", trained=(0, 1))
    (tmp_path / "more").mkdir()
    foreign_files.where(tmp_path / "more" / "where.pt")
    return tmp_path


@pytest.fixture
def load(run_node: Any, folder: Path) -> Any:
    """load(file=…) -> the output of Import Module."""
    return lambda **given: run_node("RespoImportModule", **{"file": "unet.pth", "name": "gender", **given})


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_imports_and_saves(load: Any, folder: Path, run_node: Any) -> None:
    output = load(name="mine/gender")
    text = output.ui.as_dict()["text"][0]
    assert text.startswith("Saved as mine/gender.safetensors\ngender: a woman, a man\nMade on Stable Diffusion 1.4")
    assert "Meant for strength 1.0" in text
    assert "Note: left out: 'young' (number 2) looks untrained, like PyTorch's initial values" in text
    assert files(folder) == {"unet.pth", "more/where.pt", "mine/gender.safetensors"}
    again = run_node("RespoLoadModule", module="mine/gender.safetensors")[0]
    assert again.sha256 == output[0].sha256
    numbers = torch.load(folder / "unet.pth", weights_only=True)[FC1][:, 1]
    assert torch.equal(again.attribute.concept("a man").responsible.value().flatten(), numbers)
    text = load(name="mine/gender").ui.as_dict()["text"][0]
    assert text.startswith("mine/gender.safetensors already holds exactly this module")


def test_inputs_are_used(load: Any, pack: Any) -> None:
    given = {"concepts": '{"person": 0, "other": 1}', "only": " other ,", "base": "sdxl", "name": "a"}
    attribute = load(**given)[0].attribute
    assert (list(attribute.concepts), attribute.architecture.family) == (["other"], "sdxl")
    attribute = load(file="more/where.pt", name="b")[0].attribute
    assert (list(attribute.concepts), attribute.training["strength"]) == (["female", "male"], 2.0)
    with pytest.raises(pack.core.errors.RespoError, match="holds a different module"):
        load(file="more/where.pt", name="a")
    assert load(file="more/where.pt", name="a", existing="overwrite")[0].attribute.name == "a"


def test_the_list_shows_other_projects_files_alone(host: Any, folder: Path) -> None:
    schema = host.nodes.NODE_CLASS_MAPPINGS["RespoImportModule"].GET_SCHEMA()
    assert {name.replace("\\", "/") for name in schema.inputs[0].options} == {"unet.pth", "more/where.pt"}


def test_another_content_is_another_file(host: Any, folder: Path) -> None:
    node = host.nodes.NODE_CLASS_MAPPINGS["RespoImportModule"]
    before = node.fingerprint_inputs(file="unet.pth", only="", name="x")
    linked = node.fingerprint_inputs(file=None)
    foreign_files.respodiff(folder / "unet.pth", trained=(1,))
    assert node.fingerprint_inputs(file="unet.pth") != before
    assert node.fingerprint_inputs(file=None) != linked


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"file": "../unet.pth"}, "inside the 'respo' model folder"),
        ({"file": "/etc/passwd.pth"}, "inside the 'respo' model folder"),
        ({"file": "gender.safetensors"}, "name of a .pth or .pt file"),
        ({"file": "c:x.pt"}, "inside the 'respo' model folder"),
        ({"file": "lost.pth"}, "not on this computer.*more/where.pt, out.pth, text.pth, unet.pth"),
        ({"file": "out.pth"}, "a link that leads out"),
        ({"file": "text.pth"}, "expected a file as torch.save"),
        ({"only": "robot"}, "no concept 'robot' in the list"),
        ({"only": "young"}, "untrained"),
        ({"only": "old, a white-race person"}, "are both number 3"),
        ({"concepts": "{"}, "not valid JSON"),
        ({"concepts": '{"a": 99}'}, "room for 10"),
        ({"concepts": "[" * 900_000}, "at most 100,000 characters"),
        ({"base": "flux"}, "'base'"),
        ({"name": "../x"}, "inside the 'respo' model folder"),
        ({"name": "x.pth/../../y"}, "inside the 'respo' model folder"),
        ({"file": 3}, "'file'|name of"),
    ],
)
def test_bad_input_is_our_error_and_writes_nothing(
    load: Any, folder: Path, pack: Any, given: dict, message: str, tmp_path_factory: Any
) -> None:
    (folder / "text.pth").write_text("no")
    outside = tmp_path_factory.mktemp("outside") / "x.pth"
    foreign_files.respodiff(outside)
    (folder / "out.pth").symlink_to(outside)
    before = files(folder)
    with pytest.raises(pack.core.errors.RespoError, match=message):
        load(**given)
    assert files(folder) == before


class Evil:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_an_unsafe_file_is_never_run(load: Any, folder: Path, pack: Any) -> None:
    for write in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        write({FC1: Evil(folder / "mark")}, folder / "evil.pth")
        with pytest.raises(pack.core.errors.RespoError, match=r"evil\.pth"):
            load(file="evil.pth")
    assert not (folder / "mark").exists()


def test_it_is_told_before_anything_runs(host: Any, folder: Path) -> None:
    check = host.nodes.NODE_CLASS_MAPPINGS["RespoImportModule"].validate_inputs
    assert check(file="unet.pth", concepts="", name="x") is True
    assert check() is True
    assert "inside the 'respo'" in check(file="../x.pth")
    assert "inside the 'respo'" in check(file="unet.pth", name="../x")
    assert "not valid JSON" in check(file="unet.pth", concepts="{")


@pytest.mark.parametrize(("half", "own"), [("both", "both"), ("cond", "conditional"), (None, "conditional")])
def test_guidance_is_the_modules_own_by_default(
    run_node: Any, sample: Any, model: Any, module: Any, pack: Any, half: str | None, own: str
) -> None:
    """Other values than these two come from strangers' files, and count as none."""
    wire = type(module)
    for said in (half, [half], {}):
        if said is not half and half == "both":
            own = "conditional"
        training = {**module.attribute.training, "half": said}
        made = pack.core.module.attribute.Attribute(**{**vars(module.attribute), "training": training})
        loaded = wire(made, module.file, module.sha256)
        steered = run_node("RespoApplyModule", model=model, module=loaded)
        named, other = (
            run_node("RespoApplyModule", model=model, module=loaded, guidance=guidance)[0]
            for guidance in (own, {"both": "conditional", "conditional": "both"}[own])
        )
        assert torch.equal(sample(steered[0]), sample(named))
        assert not torch.equal(sample(steered[0]), sample(other))
        assert ("both sides" in steered.ui.as_dict()["text"][0]) == (own == "both")


def test_what_a_module_is_meant_for_survives_text_and_composition(run_node: Any, module: Any, pack: Any) -> None:
    training = {**module.attribute.training, "half": "both", "strength": 2.0}
    made = pack.core.module.attribute.Attribute(**{**vars(module.attribute), "training": training})
    loaded = type(module)(made, module.file, module.sha256)
    text = run_node("RespoModuleToText", module=loaded, form="as it is", rank=1)[0]
    read = run_node("RespoModuleFromText", text=text)
    assert {key: read[0].attribute.training[key] for key in ("half", "strength")} == {"half": "both", "strength": 2.0}
    assert "Meant for strength 2.0" in read.ui.as_dict()["text"][0]
    given = {"module_a": loaded, "concept_a": "woman", "concept_b": "man"}
    assert run_node("RespoCompose", module_b=loaded, **given)[0].attribute.training["half"] == "both"
    assert "half" not in run_node("RespoCompose", module_b=module, **given)[0].attribute.training
