"""The progress bar: both losses and the time left."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from ..trainer import TrainState

_SPAN = 20


class Progress:
    """A watcher that shows the mean losses of the last 20 steps, over all concepts, and the time left.

    The bar appears with the first step that this process does: only then is it known where a resumed run goes on. The
    speed is the mean since then, so that neither the steps of an earlier run nor a pause for previews confuse it.
    """

    def __init__(self, steps: int):
        self._steps = steps
        self._bar: tqdm | None = None

    def after_step(self, state: TrainState) -> None:
        """Move the bar to `state.step`."""
        if self._bar is None:
            # Not counted into the speed: the first step also prepares latents and warms up.
            self._bar = tqdm(total=self._steps, initial=state.step, unit="step", dynamic_ncols=True, smoothing=0)
        self._bar.set_postfix_str(_losses(state), refresh=False)
        self._bar.update(state.step - self._bar.n)

    def finish(self, state: TrainState) -> None:  # noqa: ARG002 - every watcher is told
        """Leave the bar as it is and end its line."""
        self.close()

    def close(self) -> None:
        """End the bar's line, if there is one."""
        if self._bar is not None:
            self._bar.refresh()  # the last steps may have come faster than the bar is drawn
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _losses(state: TrainState) -> str:
    recent = [loss for concept in state.concepts.values() for loss in concept.losses[-_SPAN:]]
    if not recent:
        return ""
    text = f"responsible {np.mean([loss.responsible for loss in recent]):.4f}"
    semantic = [loss.semantic for loss in recent]
    # Objectives without a semantic part leave it at zero.
    return f"{text}, semantic {np.mean(semantic):.4f}" if any(semantic) else text
