"""Warnings and log records on the terminal, as plain lines."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ..core.errors import RespoError, RespoWarning
from ..core.shown import printable


def say(text: str, where: TextIO | None = None) -> None:
    """Print a line, by default to where results go. All that the commands print passes here: it may quote strangers.

    Raises RespoError when results cannot be printed. Where messages cannot be, nobody is left to be told.
    """
    try:
        print(printable(text), file=where, flush=True)
    except OSError as error:  # a full disk, a pipe that nobody reads any more
        if where is None:
            raise RespoError(f"cannot print the results: {error.strerror or error}. Print them elsewhere.") from error


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextmanager
def warnings_in_one_line(name: str) -> Iterator[None]:
    """Show Respo's own warnings and log records as plain lines; leave all others as they are."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable(f"{name}: warning: %(message)s"))
    log = logging.getLogger(__name__.rpartition(".cli.")[0])
    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(message, category, filename, lineno, file=None, line=None) -> None:  # type: ignore[no-untyped-def]
            if issubclass(category, RespoWarning):
                say(f"{name}: warning: {message}", sys.stderr)
            else:
                before(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        log.addHandler(handler)
        log.propagate = False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.propagate = True
