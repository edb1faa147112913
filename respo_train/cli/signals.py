"""Ctrl-C and SIGTERM: finish the current step first, since training cannot continue from the middle of a step."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from ..job import Stopped
from ..team import ALONE, Team
from ..trainer import TrainState

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAVING = b"\nrespo_train: finishing this step, then saving. Ctrl-C again stops at once.\n"
_TOO_EARLY = (
    b"\nrespo_train: stopped before its first step. The same command with --resume goes on from what is there.\n"
)
_AT_ONCE = b"\nrespo_train: stopped at once; what was saved last is intact.\n"


class StopSignals:
    """A watcher that ends the run after the step during which Ctrl-C or SIGTERM came; a second Ctrl-C ends it at once.

    Before the first step is done there is nothing to save, so the run ends at once then too. In a team, process 0
    decides and the others wait for it. There a second Ctrl-C cannot be distinguished from the first, because torchrun
    forwards every signal once more (and kills processes that take too long).

    Does nothing outside the main thread, where Python allows no signal handlers.
    """

    def __init__(self, team: Team = ALONE):
        self._team = team
        self._asked = self._stepped = False
        self._before: dict[signal.Signals, Any] = {}

    def after_step(self, state: TrainState) -> None:
        """Raise Stopped if a signal has come."""
        if self._asked:
            raise Stopped(f"stopped at step {state.step}")
        self._stepped = True

    def finish(self, state: TrainState) -> None:
        """Let a signal act at once again: everything is saved."""
        del state
        self._remove()

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # No print: the signal may have interrupted another print.
        if self._team.size == 1 and (not self._stepped or (self._asked and number == signal.SIGINT)):
            os.write(2, _AT_ONCE if self._stepped else _TOO_EARLY)
            # An exception would first wait for threads in the middle of a step. Exiting is safe, because files are
            # written atomically.
            os._exit(130)
        if not self._asked and self._team.leads:
            os.write(2, _SAVING)
        self._asked = True
