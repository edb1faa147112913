"""How a run follows a record: checked before the first step, then looked up for each call, outside the model.

No state outlives a run. A run's own options hold the records that it follows and how far it has come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.pictures.region import changed
from ..calls.conds import Cond, Guidance, with_more
from .alongside import is_plain
from .record import Pace, Record, RecordedCall, no_call
from .run_identity import RunIdentity

_RUN = "respo_run"  # in transformer_options: a _Follower for each record that the run follows
_CALLS = "respo_recorded"  # in transformer_options: a record's SHA-256 -> its RecordedCall for the call that runs now


class _Follower:
    """How far a run has come in a record.

    A run with the record's sampler and its whole schedule makes the recorded calls in the recorded order: no step has
    to read its sigma, which would wait for the device, and all are compared when the run is over. Any other run, of a
    part of the schedule or with another sampler, reads it at each step.
    """

    def __init__(self, record: Record, run: RunIdentity) -> None:
        self._record, self._pace = record, Pace()
        self._keys = tuple(record.calls) if record.run.steps_like(run) else None
        self._seen: list[Tensor] = []

    def next(self, timestep: Tensor) -> RecordedCall:
        """Return what was recorded for the call that begins now. Raises RespoError when there is nothing."""
        if self._keys is None:
            return self._record.call(*self._pace.next(float(timestep[0])))
        self._seen.append(timestep[:1].clone())
        if len(self._seen) > len(self._keys):
            self.require_order()
        return self._record.call(*self._keys[len(self._seen) - 1])

    def require_order(self) -> None:
        """Raise RespoError when the calls were not the recorded ones after all, as with adaptive steps."""
        sigmas, pace = torch.cat(self._seen).tolist() if self._seen else [], Pace()
        for place, sigma in enumerate(sigmas):
            key = pace.next(sigma)
            if self._keys is None or self._keys[place : place + 1] != (key,):
                raise no_call(*key)


def follow(record: Record, guidance: Guidance) -> Callable[..., Tensor]:
    """Build a wrapper of the host's sampler (WrappersMP.SAMPLER_SAMPLE) for a run that follows `record`.

    `guidance`: the side of guidance whose recorded values are needed. For as long as the run goes on the record is on
    its device, so that no step waits for a copy. The wrapper raises RespoError before anything is
    computed when the record belongs to a different run.
    """

    def begin(
        executor: Any, guider: Any, sigmas: Tensor, extra: Any, callback: Any, noise: Tensor, *rest: Any
    ) -> Tensor:
        sampler = executor.class_obj
        run = RunIdentity.of(guider.model_patcher, sampler, sigmas, noise, rest[0] if rest else None)
        record.run.require(run)
        options = extra["model_options"]
        _require_guidance(record, guidance, guider, options)
        follower = _Follower(record.to(guider.model_patcher.load_device), run)
        others = options.get("transformer_options", {}).get(_RUN, {})
        extra = {**extra, "model_options": with_more(options, {_RUN: {**others, record.sha256: follower}})}
        samples: Tensor = executor(guider, sigmas, extra, callback, noise, *rest)
        follower.require_order()
        return samples

    return begin


def look_up(executor: Any, x: Tensor, timestep: Tensor, model_options: Any = None, seed: Any = None) -> Tensor:
    """Wrap the host's prediction of a step (WrappersMP.PREDICT_NOISE): pass the recorded data for it to the patch."""
    options = (model_options or {}).get("transformer_options", {})
    followers: Mapping[str, _Follower] | None = options.get(_RUN)
    if followers is not None and not is_plain(options):
        found = {sha256: follower.next(timestep) for sha256, follower in followers.items()}
        model_options = with_more(model_options, {_CALLS: found})
    denoised: Tensor = executor(x, timestep, model_options or {}, seed)
    return denoised


def keep_rest(record: Record, threshold: float) -> Callable[..., Tensor]:
    """Build a wrapper of the host's prediction of a step (WrappersMP.PREDICT_NOISE); it acts after guidance.

    Where the guided prediction hardly differs from the recorded one of the same step, it is replaced by the recorded
    one. So any sampler arrives at the recorded picture there. `threshold`: see `core.pictures.region.changed`. When
    both predictions are equal everywhere, not one bit changes.

    The wrapper raises RespoError when it cannot tell which step it is in.
    """

    def keep(executor: Any, x: Tensor, timestep: Tensor, model_options: Any = None, seed: Any = None) -> Tensor:
        denoised: Tensor = executor(x, timestep, model_options, seed)
        call = recorded_calls((model_options or {}).get("transformer_options", {})).get(record.sha256)
        if call is None:
            raise RespoError(
                "Where cannot tell which step this is: something here calls the model past the host's sampler. Take "
                "the record off Where to use it without one."
            )
        # [B, C, H, W]; a picture as a video of one frame has a dimension more.
        before, after = call.denoised.to(denoised).flatten(1, -3), denoised.flatten(1, -3)
        return torch.lerp(before, after, changed(after, before, threshold).to(after)).view_as(denoised)

    return keep


def recorded_calls(transformer_options: Mapping[str, Any]) -> Mapping[str, RecordedCall]:
    """Return the recorded data for the current call, keyed by the SHA-256 of each record that the run follows."""
    found: Mapping[str, RecordedCall] = transformer_options.get(_CALLS, {})
    return found


def _require_guidance(record: Record, guidance: Guidance, guider: Any, options: Mapping[str, Any]) -> None:
    """Raise RespoError when this run computes a side of guidance that the recorded run did not compute."""
    skips = math.isclose(getattr(guider, "cfg", 0.0), 1.0) and not options.get("disable_cfg1_optimization", False)
    for name, conds in guider.conds.items():
        conditional = Cond(name, 0).conditional
        wanted = bool(conds) and (conditional or (guidance == "both" and not skips))
        if wanted and name not in record.names:
            raise RespoError(
                f"The record holds nothing for the {name} prompt, which was not computed when it was made (cfg 1). "
                "Set the same cfg on Record Run as here, or guidance to conditional."
            )
