"""Child processes that outlive nobody: Ctrl-C, and a request to end, let them stop in their own way first."""

from __future__ import annotations

import os
import signal
import subprocess

PATIENCE = 30  # seconds that a child has to stop its own children, such as a test's ComfyUI


class Terminated(KeyboardInterrupt):
    """We alone were asked to end (SIGTERM); a terminal's Ctrl-C reaches the children as well."""


def raise_terminated(*_signal_and_frame: object) -> None:
    """Signal handler: end as at Ctrl-C."""
    raise Terminated


def end_as_interrupted() -> None:
    """Let SIGTERM be handled like Ctrl-C, so that nothing is left running."""
    signal.signal(signal.SIGTERM, raise_terminated)


def stop(process: subprocess.Popen[bytes], interrupt: KeyboardInterrupt) -> None:
    """Wait until a child has stopped, passing on what it cannot have got; kill it when it takes too long."""
    if isinstance(interrupt, Terminated):
        if os.name == "nt":
            process.terminate()
        else:
            process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
