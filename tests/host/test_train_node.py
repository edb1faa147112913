"""Train Module in a ComfyUI that a user would start: it trains, can be cancelled, and changes nothing else."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from small_preset import SMALL_PRESET

from benchmarks.comfy_server import PromptFailed
from respo_train.core.files.checkpoint import load_attribute

CHECKPOINT = "emoji_world.safetensors"
CLIP = SimpleNamespace(tokenize=None)  # of a training that is refused before it needs one
TRAIN, SHEET, PICTURES = "train", "sheet", "pictures"


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def training(name: str, vae: bool = False, **given: Any) -> dict[str, Any]:
    """A prompt that trains, and shows the sheet when there is a VAE."""
    widgets = {"preset": "gender", "recipe": "the preset's", "steps": 3, "seed": 0, "existing": "continue"}
    widgets |= {"preview_every": 0, "custom_preset": SMALL_PRESET, "name": name, **given}
    links: dict[str, Any] = {"model": ["checkpoint", 0], "clip": ["checkpoint", 1]}
    prompt = {"checkpoint": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT)}
    prompt[TRAIN] = node("RespoTrainModule", **widgets, **links, **({"vae": ["checkpoint", 2]} if vae else {}))
    return prompt | {SHEET: node("SaveImage", images=[TRAIN, 1], filename_prefix="sheet")}


def drawing(words: str, model: list | None = None) -> dict[str, Any]:
    """Nodes that draw two pictures with a model, by default the checkpoint's own."""
    sampler = {"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": model or ["checkpoint", 0], "positive": ["words", 0], "negative": ["none", 0]}
    return {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "words": node("CLIPTextEncode", text=words, clip=["checkpoint", 1]),
        "none": node("CLIPTextEncode", text="", clip=["checkpoint", 1]),
        "latent": node("EmptyLatentImage", width=128, height=128, batch_size=2),
        "sampler": node("KSampler", latent_image=["latent", 0], **sampler, **links),
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        PICTURES: node("SaveImage", images=["decode", 0], filename_prefix="drawn"),
    }


def balanced(strength: float = 1.0) -> dict[str, Any]:
    widgets = {"distribution": "", "seed": 0, "count": 2, "strength": strength, "fidelity": 1.0}
    widgets |= {"start_percent": 0.0, "end_percent": 1.0, "enabled": True}
    return {"balance": node("RespoBalance", model=["checkpoint", 0], module=[TRAIN, 0], **widgets)}


def pixels(server: Any, entry: Any, node_id: str = PICTURES) -> list[bytes]:
    return [picture.tobytes() for picture in server.images(entry, node_id)]


def text(entry: Any) -> str:
    return entry["outputs"][TRAIN]["text"][0]


def tensors(server: Any, name: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(module(server, name))


def module(server: Any, name: str) -> Path:
    return server.model_folders["respo"] / f"{name}.safetensors"


def test_trains_draws_and_leaves_the_model_as_it_was(server: Any) -> None:
    before = pixels(server, server.run(drawing("a photo of a doctor")))
    graph = training("trained/here", vae=True, preview_every=3, seed=5)
    graph |= balanced(strength=5.0) | drawing("a photo of a doctor", ["balance", 0])
    entry = server.run(graph)
    after = pixels(server, entry)
    assert all(a != b for a, b in zip(after, before, strict=True))
    attribute = load_attribute(module(server, "trained/here"))
    assert attribute.training["steps_done"] == 3
    assert attribute.training["config"]["seed"] == 5
    assert [bool(p.any()) for m in attribute.concepts.values() for p in m.parameters()] == [True] * 4
    assert text(entry).startswith("3 steps")
    assert "woman: hardly any effect" in text(entry)
    assert "gender: woman, man" in text(entry)
    assert "Note" not in entry["outputs"]["balance"]["text"][0]  # it was made for this very model
    (sheet,) = server.images(entry, SHEET)
    assert sheet.width > 3 * 128
    # The blank is nothing to the tokenizer, but the host would otherwise not draw again what it has drawn.
    assert pixels(server, server.run(drawing("a photo of a doctor "))) == before


def test_a_module_behind_another_block_is_of_this_very_model(server: Any) -> None:
    graph = training("block", steps=1, custom_preset=f"block = 2\n{SMALL_PRESET}")
    graph |= balanced() | drawing("a photo of a doctor", ["balance", 0])
    graph["checkpoint"]["inputs"]["ckpt_name"] = "emoji_world_transformer.safetensors"
    assert "Note" not in server.run(graph)["outputs"]["balance"]["text"][0]


def test_cancel_keeps_the_progress_and_the_next_run_goes_on(server: Any) -> None:
    server.run(training("whole", steps=12))
    prompt_id = server.queue(training("cancelled", vae=True, steps=12, preview_every=4))
    drawn = server.model_folders["respo"] / "cancelled.training" / "preview-000004.png"
    for _ in range(1200):
        if drawn.exists():
            break
        time.sleep(0.1)
    server.interrupt()
    with pytest.raises(PromptFailed, match="interrupted"):
        server.wait(prompt_id)
    done = load_attribute(module(server, "cancelled")).training["steps_done"]
    assert 4 <= done < 12
    assert f"stopped at step {done} of 12" in server.log
    server.run(training("cancelled", steps=12))  # looking at the modules is no part of the training
    whole, resumed = tensors(server, "whole"), tensors(server, "cancelled")
    assert list(whole) == list(resumed)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_what_is_finished_is_not_trained_again(server: Any) -> None:
    server.run(training("twice"))
    file = module(server, "twice")
    written = file.stat().st_mtime_ns
    again = server.run(training("twice"))
    assert TRAIN in dict(again["status"]["messages"])["execution_cached"]["nodes"]
    # Another entry, so that the host runs the node, but the same training.
    entry = server.run(training("twice", preview_every=7))
    assert "Already trained" in text(entry)
    assert file.stat().st_mtime_ns == written
    longer = server.run(training("twice", steps=4))
    assert "4 steps" in text(longer)
    assert load_attribute(file).training["steps_done"] == 4


def test_what_is_there_is_not_lost(server: Any) -> None:
    server.run(training("kept"))
    data = module(server, "kept").read_bytes()
    for changes, words in [
        ({"seed": 1}, "seed"),
        ({"existing": "refuse", "seed": 1}, "existing: start anew"),
        ({"steps": 2}, "more than the 2 asked for"),
    ]:
        with pytest.raises(PromptFailed) as caught:
            server.run(training("kept", **changes))
        (line,) = caught.value.node_errors[TRAIN]
        assert words in line
        assert "--" not in line  # an option of the command line
        assert module(server, "kept").read_bytes() == data
    server.run(training("kept", seed=1, existing="start anew"))
    assert load_attribute(module(server, "kept")).training["config"]["seed"] == 1


BAD = {
    "leads out": ({"name": "../x"}, "inside the 'respo' model folder"),
    "leads out by backslashes": ({"name": "a\\..\\..\\x"}, "inside the 'respo' model folder"),
    "absolute": ({"name": "/elsewhere/x"}, "inside the 'respo' model folder"),
    "empty": ({"name": " "}, "inside the 'respo' model folder"),
    "a folder": ({"name": "mine/"}, "inside the 'respo' model folder"),
    "no TOML": ({"custom_preset": "attribute = "}, "custom_preset"),
    "unknown key": ({"custom_preset": SMALL_PRESET.replace("batch", "bach")}, "did you mean 'batch'"),
    "empty concept": ({"custom_preset": SMALL_PRESET.replace('"a man"', '""')}, "concepts.man.target"),
    "no such preset": ({"preset": "../../etc/passwd.toml", "custom_preset": ""}, "expected one of the presets"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_before_anything_runs(server: Any, case: str) -> None:
    changes, words = BAD[case]
    there = sorted(server.model_folders["respo"].rglob("*"))
    with pytest.raises(PromptFailed) as caught:
        server.queue(training(**{"name": "bad", **changes}))
    lines = caught.value.node_errors[TRAIN]  # the host repeats it for every input that was looked at
    assert lines
    assert all(words in line for line in lines)
    assert sorted(server.model_folders["respo"].rglob("*")) == there


def test_link_out_of_the_folder(pack: Any, host: Any, module_folder: Path, tmp_path: Path) -> None:
    root = Path(host.folder_paths.get_folder_paths("respo")[0])
    link = root / "respo-test-link"
    try:
        link.symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("this system does not let us make links")
    try:
        with pytest.raises(pack.core.errors.ModuleFileError, match="leads out of"):
            pack.folders.place_for("respo-test-link/x")
    finally:
        link.unlink()


def test_a_preset_is_named_or_written_down(pack: Any) -> None:
    configuration = pack.root.nodes.training.run.configuration
    named = configuration("skin_tone", " ", steps=7, seed=3)
    assert (named.attribute, named.steps, named.seed) == ("skin tone", 7, 3)
    assert len(named.probe.nobody) > 1
    written = configuration("skin_tone", SMALL_PRESET)
    assert (written.attribute, written.batch) == ("gender", 2)


def test_models_that_cannot_be_trained_on(pack: Any, run_node: Any, make_model: Any) -> None:
    flux = make_model()
    flux.model.model_config.unet_config = {"image_model": "flux"}
    cut = make_model()
    cut.model.diffusion_model.middle_block = None
    for model, words in [(flux, "these transformers"), (cut, "UNetModel")]:
        with pytest.raises(pack.core.errors.RespoError, match=words):
            run_node("RespoTrainModule", model=model, clip=CLIP)


def test_a_missing_package_is_told(pack: Any, run_node: Any, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    with pytest.raises(pack.core.errors.RespoError, match="Python packages matplotlib"):
        run_node("RespoTrainModule", model=model, clip=CLIP)
