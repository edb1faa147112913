"""How a run follows a record: checked before its first step, and looked up call by call, outside the model.

Nothing here outlives a run: a run's own options say which records it follows and how far it has come.
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
    """Build a wrapper of the host's sampler (WrappersMP.SAMPLER_SAMPLE) for a run that needs `half` of `record`.

    It raises RespoError before anything is computed when the record is of another run.
    """

    def begin(
        executor: Any, guider: Any, sigmas: Tensor, extra: Any, callback: Any, noise: Tensor, *rest: Any
    ) -> Tensor:
        record.run.require(RunIdentity.of(guider.model_patcher, sigmas, noise, rest[0] if rest else None))
        options = dict(extra["model_options"])
        _require_guidance(record, guidance, guider, options)
        inner = dict(options.get("transformer_options", {}))
        others = inner[_RUN].records if _RUN in inner else ()
        inner[_RUN] = _Run(Pace(), (*others, record))
        options["transformer_options"] = inner
        samples: Tensor = executor(guider, sigmas, {**extra, "model_options": options}, callback, noise, *rest)
        return samples

    return begin


def look_up(executor: Any, x: Tensor, timestep: Tensor, model_options: Any = None, seed: Any = None) -> Tensor:
    """Wrap the host's prediction of a step (WrappersMP.PREDICT_NOISE): tell the patch what the records say of it."""
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
    """Return what the records that this run follows say of the call that runs now, by the records' SHA-256."""
    found: Mapping[str, RecordedCall] = transformer_options.get(_CALLS, {})
    return found


def _require_guidance(record: Record, guidance: Guidance, guider: Any, options: Mapping[str, Any]) -> None:
    """Raise RespoError when a side of guidance that this run computes was not computed in the recorded one."""
    skips = math.isclose(getattr(guider, "cfg", 0.0), 1.0) and not options.get("disable_cfg1_optimization", False)
    for name, conds in guider.conds.items():
        conditional = Cond(name, 0).conditional
        wanted = bool(conds) and (conditional or (guidance == "both" and not skips))
        if wanted and name not in record.names:
            raise RespoError(
                f"The record holds nothing of the {name} prompt, which was not computed when it was made (cfg 1). "
                "Set the same cfg on Record Run as here, or guidance to conditional."
            )
