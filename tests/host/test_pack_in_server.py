"""The pack in a ComfyUI that a user would start: it loads, lists its nodes, draws, and explains errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests
import torch
from safetensors import safe_open

from benchmarks.api_format import to_api
from benchmarks.comfy_server import PromptFailed
from benchmarks.templates import read_template
from respo_train.core.files.checkpoint import save_attribute
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from setup_steps.host import linked_name

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "emoji_world" / "checkpoint" / "emoji_world.safetensors"
TEMPLATE, TRAINING_TEMPLATE = read_template("balance_a_batch"), read_template("train_a_module")
EMOJI_WORLD = Architecture("emoji_world", 64, 128, 0, 128)
SD1 = Architecture("sd1", 320, 768, 0, 1280)


@pytest.fixture(scope="module")
def modules(server):
    """The server's `respo` folder with good.safetensors, sd1.safetensors, and broken ones."""
    folder = server.model_folders["respo"]
    for name, architecture in (("good", EMOJI_WORLD), ("sd1", SD1)):
        concepts = {c: ConceptModule(architecture.middle_channels, 4, 4) for c in ("woman", "man")}
        torch.nn.init.normal_(concepts["woman"].responsible.full, std=3.0, generator=torch.Generator().manual_seed(0))
        torch.nn.init.normal_(concepts["man"].responsible.full, std=3.0, generator=torch.Generator().manual_seed(1))
        base = {"name": "some.safetensors"}
        attribute = Attribute("gender", "fairness", concepts, architecture, base, {"objective": "none"})
        save_attribute(folder / f"{name}.safetensors", attribute)
    data = (folder / "good.safetensors").read_bytes()
    (folder / "half.safetensors").write_bytes(data[: len(data) // 2])
    (folder / "nan.safetensors").write_bytes(data[:-4] + b"\x00\x00\xc0\x7f")
    return folder


def graph(module="good.safetensors", node="RespoBalance", patched=True, **inputs):
    """A prompt for two pictures in two steps, saved by node "9"; unpatched, the Respo node is left out."""
    given = {"model": ["1", 0], "module": ["2", 0], "strength": 1.0, "fidelity": 1.0, "start_percent": 0.0}
    given |= {"end_percent": 1.0, "enabled": True}
    last = "3" if patched else "1"
    own = {"distribution": "", "seed": 0, "count": 2} if node == "RespoBalance" else {"concept": "", "guidance": "both"}
    sampler = {"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": [last, 0], "positive": ["4", 0], "negative": ["5", 0], "latent_image": ["6", 0]}
    prompt = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": CHECKPOINT.name}),
        "2": ("RespoLoadModule", {"module": module}),
        "3": (node, {**given, **own, **inputs}),
        "4": ("CLIPTextEncode", {"text": "a photo of a doctor", "clip": ["1", 1]}),
        "5": ("CLIPTextEncode", {"text": "", "clip": ["1", 1]}),
        "6": ("EmptyLatentImage", {"width": 128, "height": 128, "batch_size": 2}),
        "7": ("KSampler", {**sampler, **links}),
        "8": ("VAEDecode", {"samples": ["7", 0], "vae": ["1", 2]}),
        "9": ("SaveImage", {"images": ["8", 0], "filename_prefix": "respo"}),
    }
    return {key: {"class_type": kind, "inputs": values} for key, (kind, values) in prompt.items()}


def pictures(server, prompt):
    """The pixels of what a prompt saves: its files also hold the prompt, which differs."""
    return [picture.tobytes() for picture in server.images(server.run(prompt), "9")]


@pytest.fixture(scope="module")
def pack_name(comfy_path):
    """The pack's folder in `custom_nodes`."""
    name = linked_name(comfy_path)
    assert "-" in name
    return name


def test_loads_without_a_word_of_warning(server, pack_name):
    boot = server.log.split("Starting server")[0]
    assert re.search(rf"Import times for custom nodes:\n.*{pack_name}\n", boot)
    assert [line for line in boot.splitlines() if re.search(r"warn|error|fail|traceback", line, re.IGNORECASE)] == []


def test_lists_nodes_modules_and_checkpoint(server, modules):
    info = server.object_info()
    assert {"RespoLoadModule", "RespoApplyModule", "RespoBalance", "RespoTrainModule"} <= info.keys()
    assert {"good.safetensors", "sd1.safetensors"} <= set(
        info["RespoLoadModule"]["input"]["required"]["module"][1]["options"]
    )
    assert CHECKPOINT.name in info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("extensions/{pack}/docs/RespoBalance.md", "# Balance"),
        ("extensions/{pack}/js/settings.js", "Respo.EmojiWorld.ShowCheckpoint"),
        ("i18n", "RespoBalance"),
        ("workflow_templates", "balance_a_batch"),
        ("workflow_templates", "train_a_module"),
        ("extensions/{pack}/docs/RespoTrainModule.md", "# Train Module"),
    ],
)
def test_page_gets_help_names_and_templates(server, pack_name, path, words):
    assert words in requests.get(f"{server.url}/{path.format(pack=pack_name)}", timeout=60).text


@pytest.mark.slow
def test_training_template_runs(server):
    """On its own preset, with three steps; the browser's walk trains on a smaller one."""
    prompt = to_api(TRAINING_TEMPLATE, server.object_info())
    (train, balance) = (
        next(key for key, node in prompt.items() if node["class_type"] == kind)
        for kind in ("RespoTrainModule", "RespoBalance")
    )
    prompt[train]["inputs"] |= {"steps": 3, "preview_every": 3, "name": "from_the_template"}
    entry = server.run(prompt)
    assert (server.model_folders["respo"] / "from_the_template.safetensors").is_file()
    assert entry["outputs"][train]["text"][0].startswith("3 steps")
    assert entry["outputs"][balance]["text"][0].startswith("8 pictures: woman 4, man 4")
    sizes = [len(output["images"]) for output in entry["outputs"].values() if "images" in output]
    assert sorted(sizes) == [1, 8]  # the sheet, and what was drawn with the new module


@pytest.mark.parametrize("template", [TEMPLATE, TRAINING_TEMPLATE], ids=["balance", "train"])
def test_template_needs_only_what_ships(template):
    values = [
        value for node in template["nodes"] for value in node["widgets_values"] if str(value).endswith(".safetensors")
    ]
    shipped = {path.name for path in (ROOT / "emoji_world").rglob("*.safetensors")}
    assert set(values) <= shipped


def test_off_gives_the_same_pictures(server, modules):
    plain = pictures(server, graph(patched=False))
    for node in ("RespoBalance", "RespoApplyModule"):
        assert pictures(server, graph(node=node)) != plain
        assert pictures(server, graph(node=node, strength=0.0)) == plain
        assert pictures(server, graph(node=node, enabled=False)) == plain
    assert pictures(server, graph(patched=False)) == plain


ERRORS = {
    "truncated": ({"module": "half.safetensors"}, "2", "half.safetensors"),
    "nan": ({"module": "nan.safetensors"}, "2", "NaN"),
    "other model": ({"module": "sd1.safetensors"}, "3", "Stable Diffusion 1.x"),
    "unknown concept": ({"node": "RespoApplyModule", "concept": "robot"}, "3", "woman, man"),
    "path": ({"module": "../good.safetensors"}, "2", "inside the 'respo' model folder"),
    "missing": ({"module": "lost/age.safetensors"}, "2", "models"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_shown_on_the_node(server, modules, case):
    arguments, node, words = ERRORS[case]
    with pytest.raises(PromptFailed) as caught:
        server.run(graph(**arguments))
    assert words in str(caught.value.node_errors[node])


def test_middle_block_is_what_the_module_says():
    with safe_open(CHECKPOINT, "pt") as file:
        shape = file.get_slice("model.diffusion_model.middle_block.0.out_layers.3.weight").get_shape()
    assert shape[0] == EMOJI_WORLD.middle_channels
