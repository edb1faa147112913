"""What Background adds: a low band of h (Learning Where It Matters, TMLR 2026)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.pictures.frequency import low_band
from ..recording.record import Record
from .edits import Addition, Guidance, Moment


@dataclass(frozen=True)
class LowBand:
    """`strength` times the low band of h, with `levels` levels.

    `record`: the run whose h is used; None for the current run. The paper uses the run without changes. Raises
    RespoError when the strength is not finite.
    """

    strength: float
    levels: int
    sigmas: tuple[float, float]
    guidance: Guidance
    record: Record | None = None
    images: None = None
    block: int = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.strength):
            raise RespoError(f"expected strength as a finite number, found {self.strength}.")

    def addition(self) -> Addition:
        """See `Edit`."""
        return self._own if self.record is None else self._recorded

    def _own(self, h: Tensor, moment: Moment) -> Tensor:
        return self.strength * low_band(h.float(), self.levels)

    def _recorded(self, h: Tensor, moment: Moment) -> Tensor:
        assert self.record is not None
        call = moment.recorded.get(self.record.sha256)
        if call is None:
            raise RespoError(
                "Background cannot tell which step this is: something here calls the model past the host's sampler. "
                "Take the record off Background to use it without one."
            )
        cond, pictures = moment.chunk.cond, moment.chunk.pictures
        return self.strength * call.band(cond.name, cond.index).low_band(h, self.levels, pictures)
