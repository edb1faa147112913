"""The reports in a server that a user would start: a running total over a queue, a restart and a kill."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.comfy_server import ComfyServer
from respo_train.core.counting.total_file import TotalFile
from respo_train.core.files.checkpoint import load_attribute


def graph(seed: int, text: str = "a photo of a doctor") -> dict[str, Any]:
    """Four pictures in three steps, counted by node "8"."""
    sampler = {"seed": seed, "steps": 3, "cfg": 3.0, "sampler_name": "ddim", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}
    report = {"attribute": "gender", "concepts": "", "running_total": "on", "labels": ""}
    prompt = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": "emoji_world.safetensors"}),
        "2": ("CLIPTextEncode", {"text": text, "clip": ["1", 1]}),
        "3": ("CLIPTextEncode", {"text": "", "clip": ["1", 1]}),
        "4": ("EmptyLatentImage", {"width": 128, "height": 128, "batch_size": 4}),
        "5": ("KSampler", {**sampler, **links}),
        "6": ("VAEDecode", {"samples": ["5", 0], "vae": ["1", 2]}),
        "7": ("RespoLoadJudge", {"judge": "Emoji World", "prompts": ""}),
        "8": ("RespoFairnessReport", {"images": ["6", 0], "judge": ["7", 0], **report}),
    }
    return {key: {"class_type": kind, "inputs": values} for key, (kind, values) in prompt.items()}


def said(server: ComfyServer, *given: Any) -> str:
    return server.run(graph(*given))["outputs"]["8"]["text"][0]


def folder_of(server: ComfyServer) -> Path:
    return server.user / "default" / "respo" / "running_totals"


def kept(server: ComfyServer) -> dict[str, bytes]:
    folder = folder_of(server)
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def sizes(found: dict[str, bytes]) -> list[int]:
    return sorted(len(json.loads(data)["pictures"]) for data in found.values())


def count_two_prompts(server: ComfyServer) -> None:
    assert "Of 4 pictures" in said(server, 1)
    assert "Of 4 pictures" in said(server, 1)  # from the host's cache
    assert "Running total: 8 pictures, 4 of them new." in said(server, 2)
    assert "Of 4 pictures" in said(server, 2, "a photo of a nurse")


def test_running_totals_are_kept(server: ComfyServer) -> None:
    before = kept(server)
    count_two_prompts(server)
    assert sizes({name: data for name, data in kept(server).items() if before.get(name) != data}) == [4, 8]


@pytest.mark.slow
def test_running_total_outlives_the_server(comfy_path: Path, tmp_path: Path) -> None:
    with ComfyServer(tmp_path, host=comfy_path) as server:
        count_two_prompts(server)
    before = kept(server)
    assert sizes(before) == [4, 8]
    with ComfyServer(tmp_path, host=comfy_path) as server:
        assert "0 of them new. 4 were counted before and not again." in said(server, 2)
        assert kept(server) == before
        assert "Running total: 12 pictures, 4 of them new." in said(server, 3)
        doctors = max(folder_of(server).iterdir(), key=lambda path: path.stat().st_size)
        doctors.write_text("{")
        assert f"kept as {doctors.stem}.broken-1.json" in said(server, 4)


def saving(seed: int) -> dict[str, Any]:
    """Return the same graph, which also saves its pictures, and a module under this run's own name."""
    prompt = {
        "9": ("RespoSaveImages", {"images": ["6", 0], "filename_prefix": "kept", "labels": ""}),
        "10": ("RespoLoadModule", {"module": "emoji_world_gender.safetensors"}),
        "11": ("RespoSaveModule", {"module": ["10", 0], "name": f"kept {seed}", "existing": "refuse"}),
    }
    return graph(seed) | {key: {"class_type": kind, "inputs": values} for key, (kind, values) in prompt.items()}


def whole(server: ComfyServer, modules: Path) -> dict[Path, bytes]:
    """Return all files of ours under their own names; each must be whole."""
    totals = list(folder_of(server).glob("*.json"))
    for path in (own := list(modules.glob("*.safetensors"))):
        load_attribute(path)
    for path in (pictures := list(server.output.glob("*.png"))):
        with Image.open(path) as picture:
            picture.load()
    return {path: path.read_bytes() for path in (*totals, *own, *pictures)}


def counted(found: dict[Path, bytes]) -> int:
    """Return the number of pictures in the running total, as its reader finds them; its last one may be in part."""
    sizes = [0]
    for path in (path for path in found if path.suffix == ".json"):
        file = TotalFile(path, {})
        file.read()
        sizes.append(len(file.total.pictures))
    return max(sizes)


@pytest.mark.slow
def test_a_killed_server_loses_at_most_what_it_was_writing(comfy_path: Path, tmp_path: Path) -> None:
    chance, seeds, modules = random.Random(0), itertools.count(1), tmp_path / "respo"
    modules.mkdir()
    before: dict[Path, bytes] = {}
    reached = 0
    for _ in range(4):
        with ComfyServer(tmp_path / "server", host=comfy_path, model_folders={"respo": modules}) as server:
            server.run(saving(first := next(seeds)))
            assert (modules / f"kept {first}.safetensors").is_file()
            done = counted(whole(server, modules))
            assert done == reached + 4  # the server before left a total that can be gone on from
            for _ in range(200):
                server.queue(saving(next(seeds)))
            time.sleep(chance.uniform(0.2, 1.5))
            os.kill(server.pid, signal.SIGKILL)
            time.sleep(0.2)
            after = whole(server, modules)
            reached = counted(after)
            assert reached >= done
            unchanged = [path for path in before if path.suffix != ".json"]
            assert [after.get(path) for path in unchanged] == [before[path] for path in unchanged]
            before = after
