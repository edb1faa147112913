"""The reports in a server that a user would start: a running total over a queue and a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.comfy_server import ComfyServer


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
