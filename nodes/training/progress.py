"""The host's progress bar, live previews and Cancel, for a training run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management as management
import comfy.utils
from PIL import Image

_PREVIEW_SIZE = 1024  # pixels: the host reduces larger ones


class Cancel:
    """The host's Cancel, heard where nothing is lost by it."""

    def __init__(self) -> None:
        self.cancelled = False

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let nobody but `check` raise.

        The host asks in every layer of every network, in whatever thread, and would tear a step apart: one concept
        further along its trajectory than the other is no state to go on from.
        """
        theirs = management.throw_exception_if_processing_interrupted
        management.throw_exception_if_processing_interrupted = lambda: None
        try:
            yield
        finally:
            management.throw_exception_if_processing_interrupted = theirs

    def check(self) -> None:
        """Raise the host's InterruptProcessingException once the user has cancelled, in every thread that asks."""
        if not self.cancelled and management.processing_interrupted():
            self.cancelled = True
            management.interrupt_current_processing(False)
        if self.cancelled:
            raise management.InterruptProcessingException


class HostProgress:
    """A watcher: shows steps and each new sheet of pictures of `report`, and ends the run when the user cancels.

    While no step is under way, `unet` asks before each pass whether to stop: drawing
    pictures takes long.
    """

    def __init__(self, report: Any, steps: int, cancel: Cancel, unet: Any):
        self._report, self._steps, self._cancel, self._unet = report, steps, cancel, unet
        self._bar = comfy.utils.ProgressBar(steps)
        unet.before_pass = cancel.check

    def after_step(self, state: Any) -> None:
        """Raises the host's InterruptProcessingException."""
        self._unet.before_pass = self._cancel.check
        known = self._written(state.step)
        self._report.after_step(state)
        self._show(state.step, self._written(state.step) != known)
        self._cancel.check()
        self._unet.before_pass = None

    def finish(self, state: Any) -> None:
        """Let the report draw its last sheet and show it, or say that a cancelled run is kept."""
        if self._cancel.cancelled:
            self._unet.before_pass = None
            text = "Respo: stopped at step %d of %d, and all is kept. Queue the same graph again to go on."
            logging.info(text, state.step, self._steps)
        self._report.finish(state)
        self._show(state.step, state.step == self._steps)

    def _show(self, step: int, drawn: bool) -> None:
        sheet = self._report.sheet(step)
        preview = None
        if drawn and sheet.is_file():
            with Image.open(sheet) as opened:
                preview = ("JPEG", opened.convert("RGB"), _PREVIEW_SIZE)
        self._bar.update_absolute(step, self._steps, preview)

    def _written(self, step: int) -> int:
        """When the sheet of a step was written: an earlier run may have left one of the same name."""
        sheet = self._report.sheet(step)
        return sheet.stat().st_mtime_ns if sheet.is_file() else 0
