"""The only caller of the host's patch setters: every Respo edit of h, the output of the U-Net's middle block.

Neighbouring Respo nodes share one patch. Its edits are sorted before they are summed, so that the order of the nodes
cannot change a single bit of the picture. A foreign patch in between (FreeU) keeps its place in the graph's order.
The patch is a plain closure: the host deep-copies patch *objects* with every clone, and moves them between devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import comfy.patcher_extension
import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ..calls.conds import conds_of_chunks, latent_size, name_conds, name_numbers
from ..calls.prompts import bring_prompts, prompts_of
from ..recording.playback import follow, look_up, recorded_calls
from ..recording.record import Record
from ..recording.rest import keep_rest
from ..recording.tape import Tape
from .edits import WHOLE_RUN, Addition, Edit, Guidance, ModuleEdit, Moment
from .low_band import LowBand
from .regions import Region, WordAttention, fresh_word_attention, listening, product

_KEY = "respo"
_MARK = "respo_edits"  # the attribute by which a later node finds what an earlier one put into the patch


def with_edits(model: Any, edits: Iterable[Edit | Region]) -> Any:
    """Return a clone of a host MODEL that also makes `edits`; the given model is left alone.

    A Region limits all modules among its neighbours, whichever node comes first.
    """
    patched = model.clone()
    merged = sorted([*_take_adjacent(patched), *edits], key=repr)
    patched.set_model_output_block_patch(_bottleneck_patch(tuple(merged)))
    if any(isinstance(edit, ModuleEdit) and edit.probe is not None for edit in merged):
        _wrap_once(patched, comfy.patcher_extension.WrappersMP.APPLY_MODEL, f"{_KEY} prompts", bring_prompts)
    _name_conds_of(patched)
    return patched


def with_region(model: Any, region: Region) -> Any:
    """Return a clone of a host MODEL whose modules act only in `region`."""
    patched = with_edits(model, [region])
    if region.words is not None:
        _wrap_once(patched, comfy.patcher_extension.WrappersMP.APPLY_MODEL, _KEY, fresh_word_attention)
        # Beside what others do to the attention: IPAdapter and the like replace it, which only one can.
        patched.set_model_attn2_patch(listening(region.words, patched.get_model_object("diffusion_model")))
    return patched


def with_low_band(model: Any, edit: LowBand) -> Any:
    """Return a clone of a host MODEL that also makes `edit`, and follows its record if it has one."""
    patched = with_edits(model, [edit])
    if edit.record is not None:
        _follow(patched, edit.record, edit.guidance)
    return patched


def with_rest_of(model: Any, record: Record, threshold: float) -> Any:
    """Return a clone of a host MODEL that gives what `record` has where it hardly differs, see `keep_rest`."""
    patched = model.clone()
    _follow(patched, record, "conditional")
    kind = comfy.patcher_extension.WrappersMP.PREDICT_NOISE
    patched.add_wrapper_with_key(kind, f"{_KEY} rest", keep_rest(record, threshold))
    return patched


def recording(model: Any, tape: Tape) -> Any:
    """Return a clone of a host MODEL whose run is written to `tape`; last of its patches, and it changes nothing."""
    patched = model.clone()
    kinds = comfy.patcher_extension.WrappersMP
    # Closures, for the host may copy bound methods, and the tape with them.
    patched.set_model_output_block_patch(lambda h, hsp, options: tape.read(h, hsp, options))
    patched.add_wrapper_with_key(kinds.SAMPLER_SAMPLE, f"{_KEY} record", lambda *given: tape.begin(*given))
    patched.add_wrapper_with_key(kinds.PREDICT_NOISE, f"{_KEY} record", lambda *given: tape.call(*given))
    _name_conds_of(patched)
    return patched


def provenance(model: Any) -> list[dict[str, Any]]:
    """Return what acts on a host MODEL's h, one plain dictionary an edit; "images" as in `ModuleEdit`."""
    patches = model.model_options["transformer_options"].get("patches", {}).get("output_block_patch", [])
    found = [edit for patch in patches for edit in getattr(patch, _MARK, ())]
    return [edit.describe() for edit in found if isinstance(edit, ModuleEdit)]


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


def _name_conds_of(patched: Any) -> None:
    """Have every step's options tell which prompt is which."""
    kinds = comfy.patcher_extension.WrappersMP
    _wrap_once(patched, kinds.PREDICT_NOISE, _KEY, name_conds)
    _wrap_once(patched, kinds.CALC_COND_BATCH, _KEY, name_numbers)


def _follow(patched: Any, record: Record, guidance: Guidance) -> None:
    """Have a run check that `record` is of the same run, and every step's options tell what it says of the step."""
    kinds = comfy.patcher_extension.WrappersMP
    _wrap_once(patched, kinds.SAMPLER_SAMPLE, f"{_KEY} {record.sha256} {guidance}", follow(record, guidance))
    _wrap_once(patched, kinds.PREDICT_NOISE, f"{_KEY} follow", look_up)


def _wrap_once(patched: Any, kind: str, key: str, wrapper: Callable) -> None:
    """Add a wrapper unless an earlier Respo node has. The first that is added is the outermost."""
    if not patched.get_wrappers(kind, key):
        patched.add_wrapper_with_key(kind, key, wrapper)


def _take_adjacent(patched: Any) -> tuple[Edit | Region, ...]:
    """Remove and return the edits of the last output-block patch if it is ours, else nothing."""
    patches = patched.model_options["transformer_options"].get("patches", {})
    row = patches.get("output_block_patch", [])
    edits = getattr(row[-1], _MARK, ()) if row else ()
    if edits:
        patches["output_block_patch"] = row[:-1]
    return edits


def _bottleneck_patch(merged: tuple[Edit | Region, ...]) -> Callable:
    """Build the host's `fn(h, hsp, transformer_options)`; lru_cache, as hosts may call it from several threads."""
    regions = [part for part in merged if isinstance(part, Region)]
    edits = [part for part in merged if not isinstance(part, Region)]
    additions = [edit.addition() for edit in edits]

    @lru_cache(maxsize=8)
    def seats(count: int, device: torch.device) -> tuple[Tensor | None, ...]:
        flags = [None if edit.images is None else edit.images(count) for edit in edits]
        return tuple(None if f is None else _column(torch.tensor(f, device=device)) for f in flags)

    def patch(h: Tensor, hsp: Tensor | None, transformer_options: dict) -> tuple[Tensor, Tensor | None]:
        if transformer_options["block"] != ("output", 0):
            return h, hsp
        conds = conds_of_chunks(transformer_options)
        count = h.shape[0] // len(conds)
        rows = seats(count, h.device)
        sigmas, latent = transformer_options.get("sigmas"), latent_size(transformer_options)
        recorded = recorded_calls(transformer_options)
        sums = []
        for index, (chunk, cond) in enumerate(zip(h.chunk(len(conds)), conds, strict=True)):
            own = slice(index * count, (index + 1) * count)
            moment = Moment(cond, sigmas, latent, recorded, prompts_of(transformer_options, own))
            shares = WordAttention.of(transformer_options, own)
            where = product(chunk, [region.weight(chunk, moment, shares) for region in regions])
            sums.append(_sum_edits(chunk, edits, additions, rows, moment, where))
        return add_to_chunks(h, sums), hsp

    setattr(patch, _MARK, merged)
    return patch


def _sum_edits(
    h: Tensor,
    edits: Sequence[Edit],
    additions: Sequence[Addition],
    seats: Sequence[Tensor | None],
    moment: Moment,
    where: Tensor | None,
) -> Tensor | None:
    """Sum, in the order given, what one chunk gets: `[C, H, W]`, or `[b, C, H, W]` where its images differ.

    `where`: what the modules' changes are multiplied by, `[b or 1, 1, H, W]`.

    Masks instead of branches on sigmas: no wait for the device, and nothing that a compiler could freeze.
    """
    total = None
    for edit, addition, seat in zip(edits, additions, seats, strict=True):
        if edit.guidance == "conditional" and not moment.cond.conditional:
            continue
        value = addition(h, moment)
        if where is not None and isinstance(edit, ModuleEdit):
            value = value * where
        if edit.sigmas != WHOLE_RUN:
            high, low = edit.sigmas
            acting = _column((moment.sigmas <= high) & (moment.sigmas > low))
            seat = acting if seat is None else acting & seat
        if seat is not None:
            value = torch.where(seat, value, 0.0)
        total = value if total is None else total + value
    return total


def _column(flags: Tensor) -> Tensor:
    """Shape flags `[b]` so that they pick images of `[b, C, H, W]`."""
    return flags[:, None, None, None]
