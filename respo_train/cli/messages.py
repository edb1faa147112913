"""Warnings and log records on the terminal, as plain lines."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.errors import RespoWarning


@contextmanager
def warnings_in_one_line(name: str) -> Iterator[None]:
    """Show Respo's own warnings and log records as plain lines; leave all others as they are."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{name}: warning: %(message)s"))
    log = logging.getLogger(__name__.rpartition(".cli.")[0])
    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(message, category, filename, lineno, file=None, line=None) -> None:  # type: ignore[no-untyped-def]
            if issubclass(category, RespoWarning):
                sys.stderr.write(f"{name}: warning: {message}\n")
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
