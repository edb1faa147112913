"""The before and after workflows, as a graph of the server's API."""

from __future__ import annotations

from benchmarks.graph import BASE_MODEL, CHECKPOINT, DEFAULTS, GUIDANCE, STEPS, Graph, balanced, loaded, sampled, saved

__all__ = ["CHECKPOINT", "DEFAULTS", "GUIDANCE", "IMAGES_NODE", "STEPS", "workflow"]
IMAGES_NODE = "save"


def workflow(words: str, seed: int, count: int, module: str | None = None) -> Graph:
    """Draw `count` pictures of a prompt; with `module`, through Load Module and Balance."""
    graph = loaded(count)
    model = balanced(graph, module, seed, count) if module else BASE_MODEL
    latent = sampled(graph, "all", model, words, "", seed)
    saved(graph, IMAGES_NODE, latent, filename_prefix="after" if module else "before")
    return graph
