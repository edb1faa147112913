"""The progress bar: both losses and the time left."""

from __future__ import annotations

from types import TracebackType

import numpy as np
from tqdm import tqdm

from .trainer import TrainState

_SPAN = 20


class Progress:
    """An `OnStep` that shows the mean losses of the last 20 steps, over all concepts."""

    def __init__(self, steps: int):
        self._bar = tqdm(total=steps, unit="step", dynamic_ncols=True)

    def __call__(self, state: TrainState) -> None:
        recent = [loss for concept in state.concepts.values() for loss in concept.losses[-_SPAN:]]
        responsible = np.mean([loss.responsible for loss in recent])
        semantic = np.mean([loss.semantic for loss in recent])
        self._bar.set_postfix_str(f"responsible {responsible:.4f}, semantic {semantic:.4f}", refresh=False)
        self._bar.update(state.step - self._bar.n)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
