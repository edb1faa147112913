"""Ctrl-C and the like: the current step is finished first, since a state in the middle of a step is worth nothing."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from .job import Stopped
from .team import ALONE, Team
from .trainer import TrainState

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = b"\nrespo_train: finishing this step, then saving. Ctrl-C again stops at once.\n"


class StopSignals:
    """A watcher that ends the run after the step in which Ctrl-C or SIGTERM came; a second Ctrl-C ends it at once.

    Alone, a process takes the signals over after its first step only: before it there is nothing to save. In a team all
    processes have to survive them from the start, and process 0 decides; there a second Ctrl-C is not told from the
    first, since torchrun sends every one on once more (and kills processes that take too long).
    Does nothing outside the main thread, where Python allows no handlers.
    """

    def __init__(self, team: Team = ALONE):
        self._team = team
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def after_step(self, state: TrainState) -> None:
        """Raise Stopped if a signal has come."""
        if self._asked:
            raise Stopped(f"stopped at step {state.step}")
        self._install()

    def finish(self, state: TrainState) -> None:
        """Let a signal act at once again: nothing is left to be saved."""
        del state
        self._remove()

    def __enter__(self) -> StopSignals:
        if self._team.size > 1:
            self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _install(self) -> None:
        if not self._before and threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}

    def _remove(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._asked and number == signal.SIGINT and self._team.size == 1:
            raise KeyboardInterrupt
        if not self._asked and self._team.leads:
            os.write(2, _NOTICE)  # print is not safe here: the signal may have come in the middle of another one
        self._asked = True
