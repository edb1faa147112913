"""Replace the host's attention via the options of a single pass: by a `network.AttentionHook`, or by another kernel."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..core.pictures.attention import layer_size
from ..network import AttentionHook

# Place of a layer: (half of the network, block, transformer block in it).
Place = tuple[str, int, int]
# The host's kernels, `attention_NAME`, through which autograd can go.
_WITH_GRADIENT = ("pytorch", "sub_quad", "split", "basic", "xformers")


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


def has_gradient() -> bool:
    """Return whether the host's attention is one of those that can be differentiated.

    Sage and flash attention, as the host calls them, are not: their result has no gradient, and the residual connection
    around it hides that. Nothing is known of a kernel that another pack has put there.
    """
    from comfy.ldm.modules import attention

    known = (getattr(attention, f"attention_{name}", None) for name in _WITH_GRADIENT)
    return any(attention.optimized_attention is kernel for kernel in known)


def attention_options(
    hook: AttentionHook | None, places: list[Place], latents: Tensor, replace_kernel: bool
) -> dict[str, Any]:
    """Return the `transformer_options` by which a pass over `latents` calls `hook`, where there is one.

    `replace_kernel`: all other layers use PyTorch's attention instead of the host's choice, see `has_gradient`.
    """
    replaced: dict[str, dict[Place, Any]] = {}
    if replace_kernel:
        replaced = {layer: dict.fromkeys(places, _attend) for layer in ("attn1", "attn2")}
    if hook is not None:
        replaced["attn2"] = _hooked(hook, places, latents)
    return {"patches_replace": replaced} if replaced else {}


def _attend(q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
    from comfy.ldm.modules.attention import attention_pytorch

    return attention_pytorch(q, k, v, options["n_heads"], attn_precision=options.get("attn_precision"))


def _hooked(hook: AttentionHook, places: list[Place], latents: Tensor) -> dict[Place, Any]:
    height, width = latents.shape[2], latents.shape[3]

    def replacement(layer: int, hook: AttentionHook) -> Any:
        def replace(q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
            return hook(layer, q, k, v, options["n_heads"], layer_size(q.shape[1], height, width))

        return replace

    return {place: replacement(i, hook) for i, place in enumerate(places)}
