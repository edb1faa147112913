"""How a run follows a record: checked before the first step, then looked up for each call, outside the model.

No state outlives a run. A run's own options hold the records that it follows and how far it has come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...respo_train.core.errors import RespoError
from ..calls.conds import Cond, Guidance
from .record import Pace, Record, RecordedCall
from .run_identity import RunIdentity

_RUN = "respo_run"  # in transformer_options: the run's _Run
_CALLS = "respo_recorded"  # in transformer_options: a record's SHA-256 -> its RecordedCall for the call that runs now


@dataclass(frozen=True)
class _Run:
    pace: Pace
    records: tuple[Record, ...]


def follow(record: Record, guidance: Guidance) -> Callable[..., Tensor]:
    """Build a wrapper of the host's sampler (WrappersMP.SAMPLER_SAMPLE) for a run that follows `record`.

    `guidance`: the side of guidance whose recorded values are needed. For as long as the run goes on the record is on
    its device, so that no step waits for a copy. The wrapper raises RespoError before anything is
    computed when the record belongs to a different run.
    """

    def begin(
        executor: Any, guider: Any, sigmas: Tensor, extra: Any, callback: Any, noise: Tensor, *rest: Any
    ) -> Tensor:
        record.run.require(RunIdentity.of(guider.model_patcher, sigmas, noise, rest[0] if rest else None))
        options = dict(extra["model_options"])
        _require_guidance(record, guidance, guider, options)
        inner = dict(options.get("transformer_options", {}))
        others = inner[_RUN].records if _RUN in inner else ()
        inner[_RUN] = _Run(Pace(), (*others, record.to(guider.model_patcher.load_device)))
        options["transformer_options"] = inner
        samples: Tensor = executor(guider, sigmas, {**extra, "model_options": options}, callback, noise, *rest)
        return samples

    return begin


def look_up(executor: Any, x: Tensor, timestep: Tensor, model_options: Any = None, seed: Any = None) -> Tensor:
    """Wrap the host's prediction of a step (WrappersMP.PREDICT_NOISE): pass the recorded data for it to the patch.

    Its sigma is read, which waits for the device once a step: nothing else tells for every sampler which step it is.
    """
    options = dict(model_options or {})
    inner = dict(options.get("transformer_options", {}))
    run: _Run | None = inner.get(_RUN)
    if run is not None:
        sigma, ordinal = run.pace.next(float(timestep[0]))
        inner[_CALLS] = {record.sha256: record.call(sigma, ordinal) for record in run.records}
        options["transformer_options"] = inner
    denoised: Tensor = executor(x, timestep, options, seed)
    return denoised


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
