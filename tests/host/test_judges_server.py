"""The reports in a server that a user would start: the template, and a running total over a queue and a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.api_format import to_api
from benchmarks.comfy_server import ComfyServer
from benchmarks.templates import read_template


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


def test_running_total_outlives_the_server(comfy_path: Path, tmp_path: Path) -> None:
    with ComfyServer(tmp_path, host=comfy_path) as server:
        assert "Of 4 pictures" in said(server, 1)
        assert "Of 4 pictures" in said(server, 1)  # from the host's cache
        assert "Running total: 8 pictures, 4 of them new." in said(server, 2)
        assert "Of 4 pictures" in said(server, 2, "a photo of a nurse")
        the_template_runs(server)
    folder = tmp_path / "user" / "default" / "respo" / "running_totals"
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(len(json.loads(data)["pictures"]) for data in kept.values()) == [4, 8]
    with ComfyServer(tmp_path, host=comfy_path) as server:
        assert "0 of them new. 4 were counted before and not again." in said(server, 2)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
        assert "Running total: 12 pictures, 4 of them new." in said(server, 3)
        doctors = max(folder.iterdir(), key=lambda path: path.stat().st_size)
        doctors.write_text("{")
        assert f"kept as {doctors.stem}.broken-1.json" in said(server, 4)


def the_template_runs(server: ComfyServer) -> None:
    """Everybody is a man, and then half of them are women; each report shows its chart."""
    prompt = to_api(read_template("measure_your_own_checkpoint"), server.object_info())
    entry = server.run(prompt)
    reports = {key: node for key, node in prompt.items() if node["class_type"] == "RespoFairnessReport"}
    before, after = sorted(reports, key=lambda key: isinstance(reports[key]["inputs"]["labels"], list))
    assert entry["outputs"][before]["text"][0].startswith("Of 8 pictures 0 show woman and 8 show man")
    assert entry["outputs"][after]["text"][0].startswith("Of 8 pictures 4 show woman and 4 show man")
    assert "8 of 8 show what they were asked to." in entry["outputs"][after]["text"][0]
    for report in reports:
        (chart,) = server.images(entry, report)
        assert chart.width == 1024
