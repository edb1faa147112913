"""The only caller of the host's patch setters: applies every Respo edit to h.

In a U-Net h is the output of the middle block, in a transformer the image tokens behind one of its blocks (blocks.py).
Adjacent Respo nodes share one patch. Its edits are sorted before they are summed, so the order of the nodes cannot
change a single bit of the picture. A patch of another node in between (FreeU) keeps its place in the order, and what
limits the modules on one side of it limits those on the other side, too. The patch is a closure, because the host
deep-copies patch *objects* with every clone and moves them between devices.
"""

from __future__ import annotations

import hashlib
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.module.architecture import tokens_of
from ..calls.call import Call, argument, bring_prompts, size_of_h, with_options
from ..calls.conds import Guidance, name_numbers
from ..calls.rows import follow_seed, name_step
from ..recording.alongside import begin, is_plain, keep_alongside
from ..recording.playback import follow, keep_rest, look_up
from ..recording.record import Record
from ..recording.tape import Tape
from ..shared.guard import architecture_of
from .blocks import Steer, steering
from .edits import WHOLE_RUN, Area, ModuleEdit
from .low_band import LowBand
from .plan import Edit, planner, product
from .regions import Limit, Words, fresh_word_attention, listening, mark_words, subject_in

_KEY = "respo"
_MARK = "respo_edits"  # the attribute of a patch in which a later node finds the edits of an earlier one
_PLANNER = "respo_planner"  # the attribute of a patch or of what it does with h: a key, and what plans its calls
_PLANS = "respo_plans"  # in transformer_options of a call: the Plan of each patch, by its key


def with_edits(model: Any, edits: Iterable[Edit | Limit]) -> Any:
    """Return a clone of a host MODEL with `edits` added; the given model is not changed.

    A limit holds for all modules of the model, whatever the order of the nodes.
    """
    patched = model.clone()
    merged = sorted([*_take_adjacent(patched), *edits], key=repr)
    if _is_transformer(patched):
        _wrap_once(patched, WrappersMP.APPLY_MODEL, f"{_KEY} prompts", bring_prompts)
    else:
        _wrap_once(patched, WrappersMP.APPLY_MODEL, f"{_KEY} plans", _prepare)
    if any(edit.images is not None and edit.images.follows for edit in _edits_in(merged)):
        _wrap_once(patched, WrappersMP.SAMPLER_SAMPLE, f"{_KEY} seed", follow_seed)
    _name_conds_of(patched)
    _set_steers(patched, _steers(merged), tuple(merged))
    _share_limits(patched)
    return patched


def with_limits(model: Any, limits: Sequence[Limit]) -> Any:
    """Return a clone of a host MODEL whose modules act only where all `limits` let them."""
    words = [limit for limit in limits if isinstance(limit, Words)]
    if words and _is_transformer(model):
        raise RespoError(
            "Where finds words by the network's cross-attention, and this model has none: its text and picture share "
            "one attention. Clear the words, and link a mask or a record instead."
        )
    patched = with_edits(model, limits)
    for own in words:
        _wrap_once(patched, WrappersMP.APPLY_MODEL, _KEY, fresh_word_attention)
        _wrap_once(patched, WrappersMP.APPLY_MODEL, f"{_KEY} {own}", mark_words(own))
        # A patch, not a replacement: only one node can replace the attention, and IPAdapter and the like do so.
        patched.set_model_attn2_patch(listening(own))
    return patched


def with_low_band(model: Any, edit: LowBand) -> Any:
    """Return a clone of a host MODEL with `edit` added. If the edit has a record, runs must match that record."""
    patched = with_edits(model, [edit])
    if edit.record is not None:
        _follow(patched, edit.record, edit.guidance)
    return patched


def with_rest_of(model: Any, record: Record, threshold: float) -> Any:
    """Return a clone of a host MODEL that keeps `record`'s prediction where its own hardly differs (`keep_rest`)."""
    patched = model.clone()
    _require_none(patched, f"{_KEY} alongside")
    _follow(patched, record, "conditional")
    patched.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, f"{_KEY} rest", keep_rest(record, threshold))
    return patched


def with_rest_alongside(model: Any, every: int, threshold: float) -> Any:
    """Return a clone of a host MODEL that keeps what its modules hardly change, without a record.

    Each `every`-th step is predicted without modules as well (`keep_alongside`). Raises RespoError where another
    Where keeps the rest.
    """
    patched = model.clone()
    _require_none(patched, f"{_KEY} alongside", f"{_KEY} rest")
    _name_conds_of(patched)
    patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, f"{_KEY} alongside", begin(every, threshold))
    patched.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, f"{_KEY} alongside", keep_alongside)
    return patched


def _require_none(model: Any, *keys: str) -> None:
    if any(model.get_wrappers(WrappersMP.PREDICT_NOISE, key) for key in keys):
        raise RespoError(
            "expected one Where that keeps the rest of the picture when one of them has compare_every above 0, found "
            "two. Set it to 0, or bypass one of them."
        )


def recording(model: Any, tape: Tape) -> Any:
    """Return a clone of a host MODEL whose run is recorded on `tape`, after all other patches. It changes no value."""
    patched = model.clone()
    # Closures: the host may copy bound methods, and would copy the tape with them.
    _set_steers(patched, {architecture_of(model).block: lambda h, options: tape.read(h, options)})
    patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, f"{_KEY} record", lambda *given: tape.begin(*given))
    _name_conds_of(patched)
    patched.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, f"{_KEY} record", lambda *given: tape.call(*given))
    own = patched.wrappers[WrappersMP.PREDICT_NOISE]  # the first is the outermost: it gets what Where has kept, too
    patched.wrappers[WrappersMP.PREDICT_NOISE] = {f"{_KEY} record": own.pop(f"{_KEY} record"), **own}
    return patched


def provenance(model: Any) -> list[dict[str, Any]]:
    """Return what acts on a host MODEL's h: one plain dictionary for each module edit, see `ModuleEdit.describe`."""
    patches = model.model_options["transformer_options"].get("patches", {}).get("output_block_patch", [])
    wrappers = model.get_wrappers(WrappersMP.APPLY_MODEL, f"{_KEY} edits")
    found = [edit for patch in (*patches, *wrappers) for edit in getattr(patch, _MARK, ())]
    return [edit.describe() for edit in found if isinstance(edit, ModuleEdit)]


def sigma_range(model: Any, start_percent: float, end_percent: float) -> tuple[float, float]:
    """Convert a part of the run, 0 … 1, to (high, low) sigmas. Adjacent parts do not overlap."""
    if start_percent <= 0 and end_percent >= 1:
        return WHOLE_RUN
    sampling = model.get_model_object("model_sampling")
    return sampling.percent_to_sigma(start_percent), sampling.percent_to_sigma(end_percent)


def _name_conds_of(patched: Any) -> None:
    """Record in every call's options which prompt is which, and which pictures are sampled."""
    _wrap_once(patched, WrappersMP.PREDICT_NOISE, _KEY, name_step)
    _wrap_once(patched, WrappersMP.CALC_COND_BATCH, _KEY, name_numbers)


def _follow(patched: Any, record: Record, guidance: Guidance) -> None:
    """Check at the start of a run that `record` belongs to it, and pass the recorded data to every step."""
    _wrap_once(patched, WrappersMP.SAMPLER_SAMPLE, f"{_KEY} {record.sha256} {guidance}", follow(record, guidance))
    _wrap_once(patched, WrappersMP.PREDICT_NOISE, f"{_KEY} follow", look_up)


def _wrap_once(patched: Any, kind: str, key: str, wrapper: Callable) -> None:
    """Add a wrapper unless an earlier Respo node has added it. The wrapper added first is the outermost."""
    if not patched.get_wrappers(kind, key):
        patched.add_wrapper_with_key(kind, key, wrapper)


def _set_steers(patched: Any, steers: Mapping[int, Steer], edits: tuple[Edit | Limit, ...] = ()) -> None:
    """Let each of `steers` change h: of a transformer behind the block that is its key, of a U-Net the only one.

    `edits`: what a later node is to find here.
    """
    if _is_transformer(patched):
        wrapper, key = steering(steers), f"{_KEY} edits" if edits else f"{_KEY} tape"
        setattr(wrapper, _MARK, edits)
        patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, key, wrapper)
        return
    (steer,) = steers.values() or [_steer(edits)]  # limits alone wait for the modules of later nodes
    patched.set_model_output_block_patch(_patch(steer, edits))


def _patch(steer: Steer, edits: tuple[Edit | Limit, ...]) -> Callable:
    """Return the patch of a U-Net that changes h, and by which a later node finds `edits`."""

    def patch(h: Tensor, hsp: Tensor | None, transformer_options: dict) -> tuple[Tensor, Tensor | None]:
        if transformer_options["block"] != ("output", 0):
            return h, hsp
        return steer(h, transformer_options), hsp

    setattr(patch, _MARK, edits)
    setattr(patch, _PLANNER, getattr(steer, _PLANNER, None))
    return patch


def _share_limits(patched: Any) -> None:
    """Give each of a U-Net's patches the limits of all of them: another node's patch may stand in between."""
    patches = patched.model_options["transformer_options"].get("patches", {})
    row = patches.get("output_block_patch", [])
    own = {place: edits for place, patch in enumerate(row) if (edits := getattr(patch, _MARK, ()))}
    limits = {place: Counter(part for part in edits if isinstance(part, Limit)) for place, edits in own.items()}
    every: Counter[Limit] = reduce(operator.or_, limits.values(), Counter())
    for place, edits in own.items():
        if missing := every - limits[place]:
            merged = tuple(sorted([*edits, *missing.elements()], key=repr))
            row[place] = _patch(_steer(merged), merged)


def _is_transformer(patched: Any) -> bool:
    return tokens_of(patched.get_model_object("diffusion_model")) is not None


def _take_adjacent(patched: Any) -> tuple[Edit | Limit, ...]:
    """Remove and return the edits of earlier nodes.

    In a U-Net they are taken only if no other node's patch stands behind them.
    """
    kind, key = WrappersMP.APPLY_MODEL, f"{_KEY} edits"
    if found := patched.get_wrappers(kind, key):
        patched.remove_wrappers_with_key(kind, key)
        return getattr(found[0], _MARK, ())
    patches = patched.model_options["transformer_options"].get("patches", {})
    row = patches.get("output_block_patch", [])
    edits = getattr(row[-1], _MARK, ()) if row else ()
    if edits:
        patches["output_block_patch"] = row[:-1]
    return edits


def _steers(merged: Sequence[Edit | Limit]) -> dict[int, Steer]:
    """Return what changes h behind each block that an edit acts at; limits hold for the modules of all blocks."""
    blocks = sorted({edit.block for edit in _edits_in(merged)})
    own = {at: [part for part in merged if isinstance(part, Limit) or part.block == at] for at in blocks}
    return {block: _steer(parts) for block, parts in own.items()}


def _edits_in(merged: Iterable[Edit | Limit]) -> list[Edit]:
    return [part for part in merged if not isinstance(part, Limit)]


def _steer(merged: Sequence[Edit | Limit]) -> Steer:
    """Return the function that changes h: as planned before the network ran, or else as it plans now."""
    words = [part for part in merged if isinstance(part, Words)]
    plan_for = planner(_edits_in(merged), [part for part in merged if isinstance(part, Area)])
    key = hashlib.sha256(repr(merged).encode()).hexdigest()  # equal for patches that add the same

    def steer(h: Tensor, transformer_options: Mapping[str, Any]) -> Tensor:
        if is_plain(transformer_options):
            return h.clone()
        size = h.shape[2], h.shape[3]
        plan = transformer_options.get(_PLANS, {}).get(key)
        if plan is None or not plan.fits(h):
            plan = plan_for(Call.of(len(h), h.device, transformer_options), size)
        change = plan.change(h, product([subject_in(transformer_options, own, size) for own in words]))
        return h.clone() if change is None else h + change.to(h.dtype)  # rounded once, to h's precision

    setattr(steer, _PLANNER, (key, plan_for))
    return steer


def _prepare(executor: Any, *given: Any, **named: Any) -> Any:
    """Wrap each call of a U-Net (WrappersMP.APPLY_MODEL): plan what its patches add, before the network runs.

    The patches are those of the call, and so is the network: the host may sample with another copy of the model.
    """

    def planned(*given: Any, **named: Any) -> Any:
        x, options = argument(given, named, "x"), argument(given, named, "transformer_options")
        if options is None or is_plain(options):
            return executor(*given, **named)
        size = size_of_h(executor.class_obj.diffusion_model, x)
        call = Call.of(len(x), x.device, {**options, "original_shape": x.shape})
        patches = options.get("patches", {}).get("output_block_patch", [])
        planners = [own for patch in patches if (own := getattr(patch, _PLANNER, None)) is not None]
        plans = {key: plan_for(call, size) for key, plan_for in planners}
        return with_options(executor, given, named, {_PLANS: plans})

    return bring_prompts(planned, *given, **named)
