"""A server that is killed while it saves: what was saved before is whole, and the next server goes on from it."""

from __future__ import annotations

import itertools
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

PICTURES = 2  # of each run
KILLS = 4


def graph(seed: int) -> dict[str, Any]:
    """Two pictures in one step: counted by node "8", and saved with a module of this run's own name."""
    sampler = {"seed": seed, "steps": 1, "cfg": 3.0, "sampler_name": "ddim", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["4", 0]}
    report = {"attribute": "gender", "concepts": "", "running_total": "on", "labels": ""}
    prompt = {
        "1": ("CheckpointLoaderSimple", {"ckpt_name": "emoji_world.safetensors"}),
        "2": ("CLIPTextEncode", {"text": "a photo of a doctor", "clip": ["1", 1]}),
        "4": ("EmptyLatentImage", {"width": 128, "height": 128, "batch_size": PICTURES}),
        "5": ("KSampler", {**sampler, **links}),
        "6": ("VAEDecode", {"samples": ["5", 0], "vae": ["1", 2]}),
        "7": ("RespoLoadJudge", {"judge": "Emoji World", "prompts": ""}),
        "8": ("RespoFairnessReport", {"images": ["6", 0], "judge": ["7", 0], **report}),
        "9": ("RespoSaveImages", {"images": ["6", 0], "filename_prefix": "kept", "labels": ""}),
        "10": ("RespoLoadModule", {"module": "emoji_world_gender.safetensors"}),
        "11": ("RespoSaveModule", {"module": ["10", 0], "name": f"kept {seed}", "existing": "refuse"}),
    }
    return {key: {"class_type": kind, "inputs": values} for key, (kind, values) in prompt.items()}


def saved(server: ComfyServer, modules: Path) -> dict[Path, bytes]:
    """Return all files of ours under their own names; each must be whole."""
    totals = list((server.user / "default" / "respo" / "running_totals").glob("*.json"))
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
    for _ in range(KILLS):
        with ComfyServer(tmp_path / "server", host=comfy_path, model_folders={"respo": modules}) as server:
            server.run(graph(first := next(seeds)))
            assert (modules / f"kept {first}.safetensors").is_file()
            done = counted(saved(server, modules))
            assert done == reached + PICTURES  # the server before left a total that can be gone on from
            for _ in range(200):
                server.queue(graph(next(seeds)))
            time.sleep(chance.uniform(0.2, 1.5))
            os.kill(server.pid, signal.SIGKILL)
            time.sleep(0.2)
            after = saved(server, modules)
            reached = counted(after)
            assert reached >= done
            unchanged = [path for path in before if path.suffix != ".json"]
            assert [after.get(path) for path in unchanged] == [before[path] for path in unchanged]
            before = after
