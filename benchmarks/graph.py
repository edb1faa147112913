"""Parts of a ComfyUI graph that draws with Emoji World, in the format of the server's API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emoji_world import world
from respo_train.evaluation.protocol import Ask

Graph = dict[str, dict[str, Any]]
Link = list[Any]  # [node id, number of its output]
STEPS, GUIDANCE = 20, 3.0


@dataclass(frozen=True)
class Network:
    """One of Emoji World's networks. `sampler`, `scheduler`: the host's; `prefix`: of its modules' files."""

    checkpoint: str
    sampler: str
    scheduler: str
    prefix: str = ""


UNET = Network("emoji_world.safetensors", "ddim", "ddim_uniform")
# A flow begins with nothing but noise, which "ddim_uniform" leaves out.
TRANSFORMER = Network("emoji_world_transformer.safetensors", "euler", "simple", "transformer-")
CHECKPOINT = UNET.checkpoint
Size = tuple[int, int]  # height and width in pixels
NATIVE: Size = (world.IMAGE_SIZE, world.IMAGE_SIZE)
SAVE = "save"
BASE_MODEL: Link = ["checkpoint", 0]
CLIP: Link = ["checkpoint", 1]
# What a new Balance node has in its widgets.
DEFAULTS = {
    "distribution": "",
    "strength": 1.0,
    "fidelity": 1.0,
    "start_percent": 0.0,
    "end_percent": 1.0,
    "enabled": True,
}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """Return one node of a graph."""
    return {"class_type": kind, "inputs": inputs}


def loaded(count: int, network: Network = UNET, size: Size = NATIVE) -> Graph:
    """Return a graph with the checkpoint and an empty latent of `count` pictures."""
    height, width = size
    return {
        "checkpoint": node("CheckpointLoaderSimple", ckpt_name=network.checkpoint),
        "latent": node("EmptyLatentImage", width=width, height=height, batch_size=count),
    }


def balanced(graph: Graph, module: str, seed: int, count: int, **changes: Any) -> Link:
    """Add Load Module and Balance with its default settings, less `changes`; return the link to the changed model."""
    wires: dict[str, Any] = {"model": BASE_MODEL, "module": ["module", 0]}
    graph["module"] = node("RespoLoadModule", module=module)
    graph["balance"] = node("RespoBalance", **wires, seed=seed, count=count, **{**DEFAULTS, **changes})
    return ["balance", 0]


def photographed(ask: Ask, module: str | None = None) -> Graph:
    """Return a graph that draws a prompt's pictures and saves them in the node SAVE; `module`: through Balance."""
    graph = loaded(ask.count)
    model = balanced(graph, module, ask.seed, ask.count) if module else BASE_MODEL
    latent = sampled(graph, "all", model, ask.prompt, "", ask.seed)
    saved(graph, SAVE, latent, filename_prefix="after" if module else "before")
    return graph


def sampled(
    graph: Graph,
    name: str,
    model: Link,
    positive: str,
    negative: str,
    seed: int,
    latent: Sequence[Any] = ("latent", 0),
    sampler: str = "KSampler",
    network: Network = UNET,
) -> Link:
    """Add both prompts and a sampler, "sampler <name>"; return the link to its latent."""
    for side, text in (("positive", positive), ("negative", negative)):
        graph[f"{side} {name}"] = node("CLIPTextEncode", text=text, clip=CLIP)
    graph[f"sampler {name}"] = node(
        sampler,
        model=model,
        positive=[f"positive {name}", 0],
        negative=[f"negative {name}", 0],
        latent_image=list(latent),
        seed=seed,
        steps=STEPS,
        cfg=GUIDANCE,
        sampler_name=network.sampler,
        scheduler=network.scheduler,
        denoise=1.0,
    )
    return [f"sampler {name}", 0]


def saved(graph: Graph, name: str, latent: Link, **settings: Any) -> None:
    """Add what decodes a latent and saves its pictures; `name` is the id of the node that saves."""
    graph[f"decode {name}"] = node("VAEDecode", samples=latent, vae=["checkpoint", 2])
    graph[name] = node("SaveImage", images=[f"decode {name}", 0], **settings)
