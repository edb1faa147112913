"""Run a `network.AttentionHook` in place of the host's cross-attention, via the options of a single pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..core.pictures.attention import layer_size
from ..network import AttentionHook

# Place of a layer: (half of the network, block, transformer block in it).
Place = tuple[str, int, int]


def attention_places(network: Any) -> list[Place]:
    """Return the places of the cross-attention layers in the host's U-Net, in the order in which they run."""
    from comfy.ldm.modules.attention import SpatialTransformer

    halves = (("input", network.input_blocks), ("middle", [network.middle_block]), ("output", network.output_blocks))
    places = []
    for half, blocks in halves:
        for number, block in enumerate(blocks):
            for layer in block:
                if isinstance(layer, SpatialTransformer):
                    found = enumerate(layer.transformer_blocks)
                    places += [(half, number, index) for index, inner in found if inner.attn2 is not None]
    return places


def hook_options(hook: AttentionHook | None, places: list[Place], latents: Tensor) -> dict[str, Any]:
    """Return the `transformer_options` by which a pass over `latents` calls `hook`; empty without a hook."""
    if hook is None:
        return {}
    height, width = latents.shape[2], latents.shape[3]

    def replacement(layer: int, hook: AttentionHook) -> Any:
        def replace(q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
            return hook(layer, q, k, v, options["n_heads"], layer_size(q.shape[1], height, width))

        return replace

    return {"patches_replace": {"attn2": {place: replacement(i, hook) for i, place in enumerate(places)}}}
