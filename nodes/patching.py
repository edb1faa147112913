"""The only caller of the host's patch setters: every Respo edit of h, the output of the U-Net's middle block.

Neighbouring Respo nodes share one patch. Its edits are sorted before they are summed, so that the order of the nodes
cannot change a single bit of the picture. A foreign patch in between (FreeU) keeps its place in the graph's order.
The patch is a plain closure: the host deep-copies patch *objects* with every clone, and moves them between devices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from ..respo_train.core.errors import RespoError

Half = Literal["conditional", "both"]
WHOLE_RUN = (math.inf, 0.0)
_CONDITIONAL = 0  # the host's number for the positive prompt's chunk of a batch
_SIZES_KEPT = 8  # sizes of h whose deltas stay in memory: a second pass and a few area prompts
_MARK = "respo_edits"  # the attribute by which a later node finds what an earlier one put into the patch


@dataclass(frozen=True)
class Edit:
    """One addition to h, a plain value: equal edits add the same numbers.

    `source`: which numbers, as "<sha256 of the file>/<concept>"; `sigmas`: acts where high >= sigma > low;
    `images`: which images of a batch of n, None for all (its repr has to tell its value); `delta`: (height, width) ->
    `[C, height, width]`, strength and fidelity included. Raises RespoError when either of these is not finite.
    """

    source: str
    strength: float
    fidelity: float
    sigmas: tuple[float, float]
    half: Half
    images: Callable[[int], Sequence[bool]] | None
    delta: Callable[[int, int], Tensor] = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("strength", "fidelity"):
            if not math.isfinite(getattr(self, name)):
                raise RespoError(f"expected {name} as a finite number, found {getattr(self, name)}.")


def with_edits(model: Any, edits: Iterable[Edit]) -> Any:
    """Return a clone of a host MODEL that also makes `edits`; the given model is left alone."""
    patched = model.clone()
    merged = sorted([*_take_adjacent(patched), *edits], key=repr)
    patched.set_model_output_block_patch(_bottleneck_patch(tuple(merged)))
    return patched


def sigma_range(model: Any, start_percent: float, end_percent: float) -> tuple[float, float]:
    """Translate a part of the run, in percent, to (high, low) sigmas. Parts that meet never overlap."""
    if start_percent <= 0 and end_percent >= 1:
        return WHOLE_RUN
    sampling = model.get_model_object("model_sampling")
    return sampling.percent_to_sigma(start_percent), sampling.percent_to_sigma(end_percent)


def add_to_chunks(h: Tensor, additions: Sequence[Tensor | None]) -> Tensor:
    """Add to each chunk of a batch its own tensor, or nothing. `h`: `[n * b, C, H, W]`, n = len(additions).

    Each addition is `[C, H, W]` or `[b, C, H, W]`, float32, rounded once to h's dtype. Returns a new tensor.
    """
    if h.shape[0] % len(additions):
        raise RespoError(f"expected a batch of {len(additions)} equal chunks, found {h.shape[0]} rows.")
    chunks = h.chunk(len(additions))
    pairs = zip(chunks, additions, strict=True)
    return torch.cat([chunk if extra is None else chunk + extra.to(h.dtype) for chunk, extra in pairs])


def _take_adjacent(patched: Any) -> tuple[Edit, ...]:
    """Remove and return the edits of the last output-block patch if it is ours, else nothing."""
    patches = patched.model_options["transformer_options"].get("patches", {})
    row = patches.get("output_block_patch", [])
    edits = getattr(row[-1], _MARK, ()) if row else ()
    if edits:
        patches["output_block_patch"] = row[:-1]
    return edits


def _bottleneck_patch(edits: tuple[Edit, ...]) -> Callable:
    """Build the host's `fn(h, hsp, transformer_options)`; lru_cache, as hosts may call it from several threads."""

    @lru_cache(maxsize=_SIZES_KEPT)
    def deltas(height: int, width: int, device: torch.device) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return tuple(edit.delta(height, width).to(device, torch.float32) for edit in edits)

    @lru_cache(maxsize=_SIZES_KEPT)
    def seats(count: int, device: torch.device) -> tuple[Tensor | None, ...]:
        flags = [None if edit.images is None else edit.images(count) for edit in edits]
        return tuple(None if f is None else _column(torch.tensor(f, device=device)) for f in flags)

    def patch(h: Tensor, hsp: Tensor | None, transformer_options: dict) -> tuple[Tensor, Tensor | None]:
        if transformer_options["block"] != ("output", 0):
            return h, hsp
        chunks = transformer_options["cond_or_uncond"]
        values = deltas(h.shape[2], h.shape[3], h.device)
        rows = seats(h.shape[0] // len(chunks), h.device)
        sums = {
            index: _sum_edits(edits, values, rows, transformer_options.get("sigmas"), index == _CONDITIONAL)
            for index in set(chunks)
        }
        return add_to_chunks(h, [sums[index] for index in chunks]), hsp

    setattr(patch, _MARK, edits)
    return patch


def _sum_edits(
    edits: Sequence[Edit],
    deltas: Sequence[Tensor],
    seats: Sequence[Tensor | None],
    sigmas: Tensor,
    conditional: bool,
) -> Tensor | None:
    """Sum, in the order given, what one chunk gets: `[C, H, W]`, or `[b, C, H, W]` where its images differ.

    Masks instead of branches on sigmas: no wait for the device, and nothing that a compiler could freeze.
    """
    total = None
    for edit, delta, seat in zip(edits, deltas, seats, strict=True):
        if edit.half == "conditional" and not conditional:
            continue
        if edit.sigmas != WHOLE_RUN:
            high, low = edit.sigmas
            acting = _column((sigmas <= high) & (sigmas > low))
            seat = acting if seat is None else acting & seat
        if seat is not None:
            delta = torch.where(seat, delta, 0.0)
        total = delta if total is None else total + delta
    return total


def _column(flags: Tensor) -> Tensor:
    """Shape flags `[b]` so that they pick images of `[b, C, H, W]`."""
    return flags[:, None, None, None]
