"""The registry's archive, unpacked as ComfyUI's manager does it: the host loads it, with all that the pack reads."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests

from benchmarks.api_format import to_api
from benchmarks.comfy_server import ComfyServer
from setup_steps import package
from setup_steps.report import SetupError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "respo"  # as the manager names it: after the project
# Runs in a process of its own, since this one has the pack of the repository: sys.argv is the host and the pack.
LOAD = """
import asyncio, json, sys
host, pack = sys.argv[1:]
sys.path.insert(0, host)
sys.argv[1:] = []
import comfy.cli_args
comfy.cli_args.args.cpu = True
import folder_paths, nodes
assert asyncio.run(nodes.load_custom_node(pack))
own = {key: node for key, node in nodes.NODE_CLASS_MAPPINGS.items() if key.startswith("Respo")}
files = sorted({sys.modules[node.__module__].__file__ for node in own.values()})
judge = own["RespoLoadJudge"].execute(judge="Emoji World", prompts="")
module = own["RespoLoadModule"].execute(module="emoji_world_gender.safetensors")
print("RESULT" + json.dumps({
    "ids": list(own),
    "outside": [file for file in files if not file.startswith(pack)],
    "modules": folder_paths.get_filename_list("respo"),
    "checkpoints": folder_paths.get_filename_list("checkpoints"),
    "presets": own["RespoTrainModule"].INPUT_TYPES()["required"]["preset"][1]["options"],
    "judge": type(judge[0]).__name__,
    "module": list(module[0].attribute.concepts),
}))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A base folder of the host with the archive in its custom_nodes."""
    base = tmp_path_factory.mktemp("base")
    try:
        archive = package.build_archive()
    except SetupError as error:
        pytest.skip(str(error))
    with zipfile.ZipFile(archive) as file:
        file.extractall(base / "custom_nodes" / FOLDER)
    return base


@pytest.fixture(scope="module")
def loaded(comfy_path, unpacked):
    """What the host finds once it has loaded the archive, and nothing of this repository."""
    command = [sys.executable, "-c", LOAD, str(comfy_path), str(unpacked / "custom_nodes" / FOLDER)]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout.partition("RESULT")[2])


def test_it_has_every_node_of_its_own(loaded, pack):
    assert loaded["ids"] == [node.GET_SCHEMA().node_id for node in pack.root.NODES]
    assert loaded["outside"] == []


def test_it_has_the_bench_and_the_modules(loaded):
    assert "emoji_world.safetensors" in loaded["checkpoints"]
    shipped = {path.name for path in (ROOT / "emoji_world" / "modules").glob("*.safetensors")}
    assert shipped <= set(loaded["modules"])
    assert loaded["module"] == ["woman", "man"]
    assert "Judge" in loaded["judge"]


def test_it_has_the_presets(loaded):
    assert {path.stem for path in (ROOT / "respo_train" / "presets").glob("*.toml")} <= set(loaded["presets"])


def test_its_command_line_runs_without_the_rest(unpacked):
    pack = unpacked / "custom_nodes" / FOLDER
    module = "emoji_world/modules/emoji_world_gender.safetensors"
    command = [sys.executable, "-m", "respo_train", "info", module]
    done = subprocess.run(command, cwd=pack, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "woman" in done.stdout


@pytest.mark.slow
def test_it_runs_in_a_server(comfy_path, unpacked, tmp_path):
    """Its template, with two pictures in two steps, its help and its names."""
    template = unpacked / "custom_nodes" / FOLDER / "example_workflows" / "balance_a_batch.json"
    workflow = json.loads(template.read_text(encoding="utf-8"))
    own_base = ["--base-directory", str(unpacked), "--whitelist-custom-nodes", FOLDER]
    with ComfyServer(tmp_path, host=comfy_path, with_pack=False, extra=own_base) as server:
        for path in ("docs/RespoBalance.md", "js/settings.js"):
            assert requests.get(f"{server.url}/extensions/{FOLDER}/{path}", timeout=60).ok
        assert "RespoBalance" in requests.get(f"{server.url}/i18n", timeout=60).text
        assert "balance_a_batch" in requests.get(f"{server.url}/workflow_templates", timeout=60).text
        prompt = to_api(workflow, server.object_info())
        (count,) = (str(node["id"]) for node in workflow["nodes"] if node.get("title") == "How many pictures")
        prompt[count]["inputs"]["value"] = 2
        for node in prompt.values():
            if "steps" in node["inputs"]:
                node["inputs"]["steps"] = 2
        entry = server.run(prompt)
    pictures = [image for output in entry["outputs"].values() for image in output.get("images", [])]
    assert len(pictures) == 4
