"""Rows that draw the pictures of a batch apart draw each of them on the noise that it has in the whole batch."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from benchmarks.evidence import graphs
from benchmarks.evidence.asks import TASKS, asks
from benchmarks.evidence.methods import METHODS


def latent_of(graph: graphs.Graph, link: list[Any], host: Any) -> dict[str, Any]:
    """Run the host's own nodes that a latent comes from."""
    importlib.import_module("comfy_extras.nodes_post_processing")  # first: newer hosts' two files import each other
    import comfy_extras.nodes_latent as more

    kind, inputs = graph[link[0]]["class_type"], dict(graph[link[0]]["inputs"])
    given = {k: latent_of(graph, v, host) if isinstance(v, list) else v for k, v in inputs.items()}
    if kind == "LatentBatch":
        node = more.LatentBatch
        return (node.execute(**given) if hasattr(node, "execute") else node().batch(**given))[0]
    if kind == "LatentFromBatch":
        return host.nodes.LatentFromBatch().frombatch(**given)[0]
    return host.nodes.EmptyLatentImage().generate(**given)[0]


def test_pictures_start_from_the_noise_of_the_whole_batch(host):
    import comfy.sample

    ask = asks(TASKS["joint"], 9)[0]
    for piece in graphs.pieces(METHODS["negative"], ask, {}, 9):
        seed = piece.graph["sampler 0"]["inputs"]["seed"]
        whole = comfy.sample.prepare_noise(torch.zeros(9, 4, 16, 16), seed)
        for name, places in piece.saved:
            latent = latent_of(piece.graph, piece.graph[f"sampler {name}"]["inputs"]["latent_image"], host)
            own = comfy.sample.prepare_noise(torch.zeros(len(places), 4, 16, 16), seed, latent.get("batch_index"))
            assert len(latent["samples"]) == len(places)
            assert torch.equal(own, whole[list(places)])
