"""Save Labelled Images through the host: names, texts, the counter it shares with Save Image, and what it refuses."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hidden_inputs import with_hidden
from PIL import Image
from torch import Tensor

NODE = "RespoSaveImages"
PROMPT, WORKFLOW = {"1": {"class_type": "X", "inputs": {"text": "é"}}}, {"nodes": [], "version": 0.4}


@pytest.fixture
def output(host: SimpleNamespace, tmp_path: Path) -> Path:
    """The host's output folder, for one test."""
    before = host.folder_paths.get_output_directory()
    folder = tmp_path / "output"
    folder.mkdir()
    host.folder_paths.set_output_directory(str(folder))
    yield folder
    host.folder_paths.set_output_directory(before)


@pytest.fixture
def save(host: SimpleNamespace, pack: SimpleNamespace, output: Path) -> Callable[..., list[Path]]:
    """save(images, prefix, labels, model) -> the files written; the node gets what the host hides in inputs."""

    def run(images: Tensor, prefix: str = "respo", labels: str = "", model: Any = None) -> list[Path]:
        node = host.nodes.NODE_CLASS_MAPPINGS[NODE]
        hidden = {"PROMPT": PROMPT, "EXTRA_PNGINFO": {"workflow": WORKFLOW}}
        hidden = {key: hidden[key.value] for key in node.GET_SCHEMA().hidden}
        clone = with_hidden(node, hidden)
        shown = node.execute.__func__(clone, images=images, filename_prefix=prefix, labels=labels, model=model).ui[
            "images"
        ]
        assert all(image["type"] == "output" for image in shown)
        return [output / image["subfolder"] / image["filename"] for image in shown]

    return run


def pictures(count: int = 2) -> Tensor:
    return torch.rand(count, 8, 12, 3, generator=torch.Generator().manual_seed(count))


def texts(path: Path) -> dict[str, str]:
    with Image.open(path) as picture:
        picture.load()
        return dict(picture.text)


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_label_is_in_the_name_and_the_texts(save, output):
    saved = save(pictures(), "portraits/respo", "woman\nman, dark")
    assert names(saved) == ["respo_00001_woman_.png", "respo_00002_man-dark_.png"]
    assert sorted(os.listdir(output / "portraits")) == sorted(names(saved))  # nothing else is left there
    about = [json.loads(texts(path)["respo"]) for path in saved]
    assert [(entry["label"], entry["index"]) for entry in about] == [("woman", 0), ("man, dark", 1)]
    assert all(entry["modules"] == [] and entry["version"] for entry in about)


def test_pixels_and_texts_are_the_hosts(save, host, output):
    """Byte for byte what Save Image shows and writes, apart from our own entry."""
    images = pictures() * 1.4 - 0.2
    ours = save(images, "ours")
    host.nodes.SaveImage().save_images(images, "theirs", PROMPT, {"workflow": WORKFLOW})
    theirs = sorted(output.glob("theirs*"))
    for mine, other in zip(ours, theirs, strict=True):
        with Image.open(mine) as a, Image.open(other) as b:
            assert a.mode == b.mode
            assert a.tobytes() == b.tobytes()
        entries = texts(mine)
        assert entries.pop("respo")
        assert list(entries.items()) == list(texts(other).items())
    assert names(ours) == ["ours_00001_.png", "ours_00002_.png"]


def test_the_host_counts_on(save, host, output):
    """Ours, theirs, ours: one row of numbers, no file twice."""
    images = pictures()
    save(images, "row", "woman\nman")
    host.nodes.SaveImage().save_images(images, "row")
    saved = save(images, "row", "man\nman")
    assert names(saved) == ["row_00005_man_.png", "row_00006_man_.png"]
    assert len(os.listdir(output)) == 6


@pytest.mark.parametrize("prefix", ["set_%batch_num%", "faces/", "", ".", "%width%x%height%", "a/b/../c"])
def test_no_file_is_ever_overwritten(save, output, prefix):
    """Some of these the host's counter does not see."""
    images = pictures()
    known: dict[Path, bytes] = {}
    for _ in range(3):
        saved = save(images, prefix, "woman\nman")
        assert not set(saved) & set(known)
        known |= {path: path.read_bytes() for path in saved}
    assert all(path.read_bytes() == data for path, data in known.items())
    assert len(known) == 6
    assert all(path.resolve().is_relative_to(output.resolve()) for path in known)


def test_modules_are_named(save, run_node, model, module):
    steered = run_node("RespoApplyModule", model=model, module=module, concept="man", strength=0.7, end_percent=0.5)[0]
    (path,) = save(pictures(1), labels="man", model=steered)
    (found,) = json.loads(texts(path)["respo"])["modules"]
    assert found["file"] == module.file
    assert found["sha256"] == module.sha256
    assert (found["concept"], found["strength"], found["fidelity"]) == ("man", 0.7, 1.0)
    assert (found["guidance"], found["only_open_prompts"]) == ("conditional", False)
    assert found["start_sigma"] > found["end_sigma"] > 0


def test_each_picture_names_what_acted_on_it(save, run_node, model, module):
    steered, labels = run_node("RespoBalance", model=model, module=module, seed=3, count=6).args
    saved = save(pictures(6), labels=labels, model=steered)
    assert set(labels.split("\n")) == {"woman", "man"}
    for path, label in zip(saved, labels.split("\n"), strict=True):
        assert [entry["concept"] for entry in json.loads(texts(path)["respo"])["modules"]] == [label]
        assert f"_{label}_" in path.name


def test_which_pictures_an_edit_acts_on_is_asked_once(pack):
    asked = []

    def every_third(count: int, seed: int | None) -> list[bool]:
        asked.append(count)
        return [index % 3 == 0 for index in range(count)]

    edits = [{"module": "a.safetensors", "strength": 1.0, "images": every_third}, {"module": "b", "images": None}]
    found = [json.loads(text)["modules"] for text in pack.root.nodes.save_images.about(["x"] * 30, edits)]
    assert asked == [30]
    assert found[3] == [{"file": "a.safetensors", "strength": 1.0}, {"file": "b"}]
    assert found[4] == [{"file": "b"}]


def test_an_untouched_model_names_nothing(save, model):
    (path,) = save(pictures(1), model=model)
    assert json.loads(texts(path)["respo"])["modules"] == []


def test_disabled_metadata(save, pack, monkeypatch):
    """No text at all; the name still tells the label."""
    monkeypatch.setattr(pack.root.nodes.save_images.args, "disable_metadata", True)
    (path,) = save(pictures(1), labels="woman")
    assert texts(path) == {}
    assert path.name == "respo_00001_woman_.png"


REFUSED = {
    "too few labels": ({"labels": "woman"}, "each of the 2 pictures"),
    "outside": ({"prefix": "../respo"}, "inside ComfyUI's output folder"),
    "outside, deeper": ({"prefix": "a/../../b/respo"}, "inside ComfyUI's output folder"),
    "absolute": ({"prefix": "/elsewhere/respo"}, "inside ComfyUI's output folder"),
    "beside": ({"prefix": "../output_of_another/respo"}, "inside ComfyUI's output folder"),
    "null": ({"prefix": "res\0po"}, "inside ComfyUI's output folder"),
    "long": ({"prefix": "x" * 900}, "cannot"),
    "long folder": ({"prefix": "x" * 900 + "/respo"}, "cannot be used"),
    "deep": ({"prefix": "a/" * 2000 + "respo"}, "at most 1,000 characters"),
    "no pictures": ({"images": torch.zeros(0, 8, 8, 3)}, "at least one picture"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_and_writes_nothing(save, pack, output, case):
    given, words = REFUSED[case]
    with pytest.raises(pack.core.errors.RespoError, match=words):
        save(**{"images": pictures(), **given})
    assert not any(path.is_file() for path in output.parent.rglob("*"))


def test_a_full_disk_leaves_whole_pictures(save, pack, output, monkeypatch):
    real, seen = os.fsync, []

    def fsync(file: int) -> None:
        seen.append(file)
        if len(seen) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(pack.core.errors.RespoError, match="Free some space"):
        save(pictures(3), labels="a\nb\nc")
    assert os.listdir(output) == ["respo_00001_a_.png"]
    assert texts(output / "respo_00001_a_.png")["respo"]


def test_a_number_that_another_process_takes_is_left_to_it(save, output, pack, monkeypatch):
    """Whatever lies there, dangling links as well."""
    write = pack.root.nodes.save_images.write_atomically

    def raced(path: Path, data: bytes, **options: Any) -> None:
        if path.name == "row_00003_.png":
            path.write_bytes(b"another's")
        write(path, data, **options)

    monkeypatch.setattr(pack.root.nodes.save_images, "write_atomically", raced)
    (output / "row_00002_.png").symlink_to("nowhere")
    assert names(save(pictures(2), "row")) == ["row_00004_.png", "row_00005_.png"]
    assert (output / "row_00003_.png").read_bytes() == b"another's"
    assert not (output / "nowhere").exists()
