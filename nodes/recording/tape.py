"""How a run is recorded. Recording only reads; it changes nothing."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ..calls.conds import with_more
from ..calls.rows import chunks_of
from .alongside import is_plain
from .record import Bands, Pace, Record, RecordedCall
from .run_identity import RunIdentity

_BANDS = "respo_bands"  # in transformer_options: the Bands of the call that runs now


class Tape:
    """Recorder of one run of the model. Use it on a clone of the model that nothing else uses.

    What it keeps stays on the run's device until the run is over: a step must not wait for copies.
    """

    def __init__(self) -> None:
        self._run: RunIdentity | None = None
        self._calls: list[tuple[Tensor, RecordedCall]] = []  # (sigma `[1]`, what was recorded), in order

    def begin(
        self, executor: Any, guider: Any, sigmas: Tensor, extra: Any, callback: Any, noise: Tensor, *rest: Any
    ) -> Tensor:
        """Wrap the host's sampler (WrappersMP.SAMPLER_SAMPLE): note how the run starts."""
        start = noise, rest[0] if rest else None
        self._run = RunIdentity.of(guider.model_patcher, executor.class_obj, sigmas, *start)
        samples: Tensor = executor(guider, sigmas, extra, callback, noise, *rest)
        return samples

    def call(self, executor: Any, x: Tensor, timestep: Tensor, model_options: Any = None, seed: Any = None) -> Tensor:
        """Wrap the host's prediction of a step (WrappersMP.PREDICT_NOISE), after guidance and all that follows it."""
        bands = Bands()
        denoised: Tensor = executor(x, timestep, with_more(model_options, {_BANDS: bands}), seed)
        self._calls.append((timestep[:1].clone(), RecordedCall(denoised.detach().clone(), bands.found)))
        return denoised

    def read(self, h: Tensor, transformer_options: Any) -> Tensor:
        """Read h, and return it. When a prompt has several passes in one call, the first one counts.

        What Where predicts without modules, to compare, is not read: the run does not go on with it.
        """
        bands = transformer_options.get(_BANDS)
        if bands is not None and not is_plain(transformer_options):
            for chunk in chunks_of(len(h), transformer_options):
                bands.add(h[chunk.rows], chunk)
        return h

    def record(self) -> Record:
        """Return the record. Raises RespoError when nothing ran: at denoise 0 the host does not sample."""
        if self._run is None:
            raise RespoError("There was nothing to record: with a denoise of 0 nothing is sampled. Set it above 0.")
        pace, kept = Pace(), comfy.model_management.intermediate_device()
        sigmas = torch.cat([sigma for sigma, _ in self._calls]).tolist()
        calls = zip(map(pace.next, sigmas), (call.to(kept) for _, call in self._calls), strict=True)
        return Record.of(self._run, dict(calls))
