"""The before and after workflows, as a graph of the server's API."""

from __future__ import annotations

from typing import Any

CHECKPOINT = "emoji_world.safetensors"
IMAGES_NODE = "save"
STEPS, GUIDANCE = 20, 3.0


def workflow(words: str, seed: int, count: int, module: str | None = None) -> dict[str, Any]:
    """Draw `count` pictures of a prompt; with `module`, through Load Module and Balance."""
    model: list[Any] = ["checkpoint", 0]
    graph: dict[str, Any] = {
        "checkpoint": _node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "positive": _node("CLIPTextEncode", text=words, clip=["checkpoint", 1]),
        "negative": _node("CLIPTextEncode", text="", clip=["checkpoint", 1]),
        "latent": _node("EmptyLatentImage", width=128, height=128, batch_size=count),
    }
    if module is not None:
        graph["module"] = _node("RespoLoadModule", module=module)
        graph["balance"] = _node("RespoBalance", model=model, module=["module", 0], seed=seed, count=count, **DEFAULTS)
        model = ["balance", 0]
    graph["sampler"] = _node(
        "KSampler",
        model=model,
        positive=["positive", 0],
        negative=["negative", 0],
        latent_image=["latent", 0],
        seed=seed,
        steps=STEPS,
        cfg=GUIDANCE,
        sampler_name="ddim",
        scheduler="ddim_uniform",
        denoise=1.0,
    )
    graph["decode"] = _node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2])
    graph[IMAGES_NODE] = _node("SaveImage", images=["decode", 0], filename_prefix="after" if module else "before")
    return graph


# What a new Balance node has in its widgets.
DEFAULTS = {
    "distribution": "",
    "strength": 1.0,
    "fidelity": 1.0,
    "start_percent": 0.0,
    "end_percent": 1.0,
    "enabled": True,
}


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}
