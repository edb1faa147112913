"""What Background adds: a low band of h (Learning Where It Matters, TMLR 2026)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.pictures.frequency import low_band
from ..calls.call import Call
from ..calls.conds import Guidance
from ..calls.rows import Chunk, Size
from ..recording.record import Band, Record, RecordedCall


@dataclass(frozen=True)
class LowBand:
    """`strength` times the low band of h, with `levels` levels.

    `record`: the run whose h is used; None for the current run. The paper uses the run without changes. The other
    fields are those of a `ModuleEdit`.
    """

    strength: float
    levels: int
    sigmas: tuple[float, float]
    guidance: Guidance
    record: Record | None = None
    images: None = None
    probe: None = None
    block: int = 0

    def recorded(self, call: Call, size: Size) -> Band | None:
        """Return what the record has for a call with an h of `size`: zeros in rows that are not changed.

        None without a record. Raises RespoError where the record has nothing for this call.
        """
        if self.record is None:
            return None
        found = call.recorded.get(self.record.sha256)
        if found is None:
            raise RespoError(
                "Background cannot tell which step this is: something here calls the model past the host's sampler. "
                "Take the record off Background to use it without one."
            )
        bands = [self._band(found, chunk) for chunk in call.chunks]
        like = next((band for band in bands if band is not None), None) or found.nothing(size)
        rows = [chunk.pictures.rows for chunk in call.chunks]
        return Band.joined([band or like.zeros(count) for band, count in zip(bands, rows, strict=True)])

    def _band(self, found: RecordedCall, chunk: Chunk) -> Band | None:
        if self.guidance == "conditional" and not chunk.cond.conditional:
            return None
        chunk.require_whole("A record")
        return found.band(chunk.cond.name, chunk.cond.index).of_pictures(chunk.pictures)


@dataclass(frozen=True)
class Low:
    """A low band in one call, see `plan.Part`. `recorded`: that of a record, `acting`: on which rows; None for all."""

    strength: float
    levels: int
    recorded: Band | None
    acting: Tensor | None
    limited: bool = False

    def terms(self, h: Tensor) -> list[Tensor]:
        low = low_band(h.float(), self.levels) if self.recorded is None else self.recorded.low_band(h, self.levels)
        value = self.strength * low
        return [value if self.acting is None else torch.where(self.acting, value, 0.0)]
