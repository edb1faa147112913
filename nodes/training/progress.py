"""The host's progress bar, live previews and Cancel for a training run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management as management
import comfy.utils
from PIL import Image

from ...respo_train.core.files.header import opened

_PREVIEW_SIZE = 1024  # pixels; the host shrinks larger previews


class Cancel:
    """Handles the host's Cancel only where it loses no work."""

    def __init__(self) -> None:
        self.cancelled = False

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Keep the host from raising its exception; only `check` raises it.

        The host checks for Cancel in every layer of every network, in any thread. An exception in the middle of a step
        would leave one concept further along its trajectory than the other, and training could not continue from that
        state.
        """
        theirs = management.throw_exception_if_processing_interrupted
        management.throw_exception_if_processing_interrupted = lambda: None
        try:
            yield
        finally:
            management.throw_exception_if_processing_interrupted = theirs

    def check(self) -> None:
        """Raise the host's InterruptProcessingException, in every thread that calls this, once the user cancelled."""
        if not self.cancelled and management.processing_interrupted():
            self.cancelled = True
            management.interrupt_current_processing(False)
        if self.cancelled:
            raise management.InterruptProcessingException


class HostProgress:
    """A watcher that shows the steps and each new picture sheet of `report`, and stops the run on Cancel.

    Drawing pictures takes long. So between training steps, `unet` also checks for Cancel before each pass.
    """

    def __init__(self, report: Any, steps: int, cancel: Cancel, unet: Any):
        self._report, self._steps, self._cancel, self._unet = report, steps, cancel, unet
        self._bar = comfy.utils.ProgressBar(steps)
        unet.before_pass = cancel.check

    def after_step(self, state: Any) -> None:
        """Show the step. Raises the host's InterruptProcessingException when the user has cancelled."""
        self._unet.before_pass = self._cancel.check
        known = self._written(state.step)
        self._report.after_step(state)
        self._show(state.step, self._written(state.step) != known)
        self._cancel.check()
        self._unet.before_pass = None

    def finish(self, state: Any) -> None:
        """Show the report's last sheet, or say that a cancelled run is kept."""
        if self._cancel.cancelled:
            self._unet.before_pass = None
            text = "Respo: stopped at step %d of %d, and everything is kept. Queue the same graph again to continue."
            logging.info(text, state.step, self._steps)
        self._report.finish(state)
        self._show(state.step, state.step == self._steps)

    def _show(self, step: int, drawn: bool) -> None:
        sheet = self._report.sheet(step)
        preview = None
        if drawn and sheet.is_file():
            with opened(sheet) as file, Image.open(file, formats=("PNG",)) as found:
                preview = ("JPEG", found.convert("RGB"), _PREVIEW_SIZE)
        self._bar.update_absolute(step, self._steps, preview)

    def _written(self, step: int) -> int:
        """Return when the sheet of a step was written: an earlier run may have left a file of the same name."""
        sheet = self._report.sheet(step)
        return sheet.stat().st_mtime_ns if sheet.is_file() else 0
