"""Modules made in the graph: composed, between two, saved, and as text inside the workflow."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import requests
import torch
from PIL import Image

from benchmarks.comfy_server import PromptFailed

ROOT = Path(__file__).resolve().parents[2]
GENDER = "emoji_world_gender.safetensors"


@pytest.fixture
def compose(run_node: Any, module: Any) -> Any:
    """compose(…) -> the module that Compose gives for woman and man of the test's attribute."""
    given = {"module_a": module, "module_b": module, "concept_a": "woman", "concept_b": "man"}
    return lambda **more: run_node("RespoCompose", **{**given, **more})[0]


@pytest.fixture
def save(run_node: Any, module_folder: Path, host: Any, monkeypatch: Any, tmp_path: Path) -> Any:
    """save(module, name, existing) -> the output of Save Module, which writes into `tmp_path`."""
    paths, filters = host.folder_paths.folder_names_and_paths["respo"]
    monkeypatch.setitem(host.folder_paths.folder_names_and_paths, "respo", ([str(tmp_path), *paths], filters))
    return lambda module, name="new", existing="refuse": run_node(
        "RespoSaveModule", module=module, name=name, existing=existing
    )


def only(loaded: Any) -> Any:
    (module,) = loaded.attribute.concepts.values()
    return module


def test_composing_before_sampling_is_sampling_with_both(compose, run_node, sample, model, by_hand, attribute):
    made = compose(weight_a=0.5, weight_b=-0.25)
    assert list(made.attribute.concepts) == ["woman - man"]
    patched = run_node("RespoApplyModule", model=model, module=made)[0]
    parts = [(0.5, attribute.concept("woman")), (-0.25, attribute.concept("man"))]

    def addition(place):
        return sum(w * m.delta(*place.size).detach() for w, m in parts) if place.chunk == 0 else None

    with by_hand(model, addition) as expected:
        wanted = sample(expected)
    assert torch.allclose(sample(patched), wanted, atol=1e-4)
    assert not torch.allclose(sample(model), wanted, atol=1e-2)


def test_interpolation_at_its_ends_draws_the_same_pictures(run_node, sample, model, module):
    for t, concept in ((0.0, "woman"), (1.0, "man")):
        between = run_node(
            "RespoInterpolate", module_a=module, module_b=module, concept_a="woman", concept_b="man", t=t, name="x"
        )[0]
        one = run_node("RespoApplyModule", model=model, module=between)[0]
        other = run_node("RespoApplyModule", model=model, module=module, concept=concept)[0]
        assert torch.equal(sample(one), sample(other))


def test_a_without_b_and_its_names(compose, run_node, module, pack):
    made = compose(method="a without b", name="pure")
    assert made.attribute.name == "pure"
    overlap = sum(
        (a.value() * b.value()).sum()
        for a, b in zip(
            only(made).children(),
            [module.attribute.concept("man").responsible, module.attribute.concept("man").semantic],
            strict=True,
        )
    )
    assert abs(overlap) < 1e-3
    output = run_node("RespoCompose", module_a=module, concept_a="woman", weight_a=-2.0)
    assert list(output[0].attribute.concepts) == ["minus woman"]
    text = output.ui.as_dict()["text"][0]
    assert text.startswith("= -2 woman\nminus woman: minus woman")
    assert "Size: 16 kB, grid 4 x 4" in text
    with pytest.raises(pack.core.errors.RespoError, match="nothing is linked to module_b"):
        compose(method="a without b", module_b=None)
    with pytest.raises(pack.core.errors.RespoError, match="method"):
        compose(method="magic")
    with pytest.raises(pack.core.errors.UnknownConcept, match="woman, man"):
        compose(concept_b="robot")


def test_equal_numbers_have_equal_hashes_and_others_do_not(compose):
    assert compose().sha256 == compose().sha256
    assert len({compose(weight_b=w).sha256 for w in (0.5, 0.6, 0.0)}) == 3


def test_saved_is_loaded(compose, save, run_node, tmp_path):
    made = compose(weight_b=-0.5)
    saved = save(made, "mine/less of a man")[0]
    assert saved.file == "mine/less of a man.safetensors"
    file = tmp_path / saved.file
    assert hashlib.sha256(file.read_bytes()).hexdigest() == saved.sha256 == made.sha256
    loaded = run_node("RespoLoadModule", module=saved.file)[0]
    assert loaded.sha256 == saved.sha256
    first, second = loaded.attribute.training["parents"]
    assert (first["file"], first["concept"], first["weight"]) == ("tests/gender.safetensors", "woman", 1.0)
    assert (second["concept"], second["weight"], len(second["sha256"])) == ("man", -0.5, 64)


def test_nobody_loses_a_file(compose, save, pack, tmp_path):
    save(compose())
    file = tmp_path / "new.safetensors"
    data, written = file.read_bytes(), file.stat().st_mtime_ns
    assert "already" in save(compose()).ui.as_dict()["text"][0]
    with pytest.raises(pack.core.errors.RespoError, match="already exists"):
        save(compose(weight_a=2.0))
    for wrong in ("nonsense", None, True):  # a workflow's JSON may hold anything; only the word itself overwrites
        with pytest.raises(pack.core.errors.RespoError, match=r"already exists|'existing'"):
            save(compose(weight_a=2.0), existing=wrong)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (data, written)
    assert save(compose(weight_a=2.0), existing="overwrite").ui.as_dict()["text"][0].startswith("Saved as")
    assert file.read_bytes() != data
    (tmp_path / "folder.safetensors").mkdir()
    for existing in ("refuse", "overwrite"):
        with pytest.raises(pack.core.errors.RespoError):
            save(compose(), "folder", existing)
    (tmp_path / "file").write_text("x")
    with pytest.raises(pack.core.errors.RespoError, match="cannot make the folder"):
        save(compose(), "file/inside")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.safetensors", "new.safetensors"]


@pytest.mark.parametrize("name", ["../x", "/elsewhere/x", "a\\..\\..\\x", "", "c:x", "x" * 300, "a\0b"])
def test_nothing_is_written_elsewhere(compose, save, host, pack, tmp_path, name):
    node = host.nodes.NODE_CLASS_MAPPINGS["RespoSaveModule"]
    assert "inside the 'respo' model folder" in node.validate_inputs(name=name)
    with pytest.raises(pack.core.errors.ModuleFileError):
        save(compose(), name)
    assert list(tmp_path.iterdir()) == []


def test_a_saved_module_can_always_be_read(compose, save, pack, tmp_path):
    made = compose()
    made.attribute.training["parents"] *= 5000
    with pytest.raises(pack.core.errors.RespoError, match=r"could not be read again.*header"):
        save(made)
    assert list(tmp_path.iterdir()) == []


def test_text_and_back_draws_nearly_the_same(run_node, sample, model, module):
    text = run_node("RespoModuleToText", module=module, form="as it is", rank=1)[0]
    read = run_node("RespoModuleFromText", text=text)[0]
    assert read.file == "gender (in the workflow)"
    before, after, plain = (
        sample(run_node("RespoApplyModule", model=model, module=m)[0] if m else model) for m in (module, read, None)
    )
    assert (after - before).abs().max() < 0.05 * (before - plain).abs().max()
    again = run_node("RespoModuleFromText", text=text)[0]
    assert again.sha256 == read.sha256
    note = run_node("RespoApplyModule", model=model, module=read).ui.as_dict()["text"][0]
    assert "Note" not in note  # the fingerprint came along


def test_the_packer_tells_what_is_left(run_node, module):
    output = run_node("RespoModuleToText", module=module, form="low rank", rank=2)
    lines = output.ui["text"][0].splitlines()
    assert "low rank 2 on 4 x 4" in lines[0]
    assert lines[1].startswith("Kept of each concept: woman ")
    assert output.ui["respo_module"] == (output[0],)


def test_load_module_tells_the_size(run_node, module_folder):
    text = run_node("RespoLoadModule", module="tests/gender.safetensors").ui.as_dict()["text"][0]
    assert "Size: 33 kB, grid 4 x 4" in text


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


@pytest.mark.parametrize(
    ("kind", "inputs", "words"),
    [
        ("RespoModuleFromText", {"text": "respo1:nonsense"}, "Copy all"),
        ("RespoModuleFromText", {"text": "x" * 10_000_000}, "at most 256 kB"),
        ("RespoSaveModule", {"module": ["1", 0], "name": "../x", "existing": "refuse"}, "inside the 'respo'"),
        (
            "RespoInterpolate",
            {"module_a": ["1", 0], "module_b": ["1", 0], "concept_a": "", "concept_b": "", "t": 0.5, "name": "a.b"},
            "letters, digits",
        ),
    ],
)
def test_bad_input_is_told_before_anything_runs(server, kind, inputs, words):
    prompt = {"1": node("RespoLoadModule", module=GENDER), "2": node(kind, **inputs)}
    prompt["3"] = node("RespoModuleToText", module=["2", 0], form="as it is", rank=1)
    with pytest.raises(PromptFailed) as caught:
        server.queue(prompt)
    assert words in str(caught.value.node_errors["2"])


@pytest.mark.parametrize("weight", [1e308, -1e308, float("nan"), float("inf")])
def test_numbers_too_large_are_told(compose, pack, weight):
    """A link goes past a widget's limits."""
    for method in ("sum", "a without b"):
        with pytest.raises(pack.core.errors.RespoError, match="'weight_a'"):
            compose(weight_a=weight, method=method)


def test_the_hosts_model_library_shows_the_picture_beside_a_module(server):
    def preview(name: str) -> requests.Response:
        listed = requests.get(f"{server.url}/experiment/models/respo", timeout=60).json()
        index = next(file["pathIndex"] for file in listed if file["name"] == name)
        return requests.get(f"{server.url}/experiment/models/preview/respo/{index}/{name}", timeout=60)

    assert preview(GENDER).headers["Content-Type"] == "image/webp"
    folder = server.model_folders["respo"] / "pictured"
    folder.mkdir()
    (folder / "own.safetensors").write_bytes((ROOT / "emoji_world" / "modules" / GENDER).read_bytes())
    name = "pictured/own.safetensors"
    assert preview(name).status_code == 404
    Image.new("RGB", (8, 8), "red").save(folder / "own.png")
    assert preview(name).headers["Content-Type"] == "image/webp"
