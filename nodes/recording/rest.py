"""Keep the recorded prediction where a run's own prediction hardly differs from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.pictures.region import changed
from .playback import recorded_calls
from .record import Record


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
