"""Child processes, and what run.py says of them: errors are one line that names the remedy."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What pip, venv and apt write -> what a person should read. The first match wins; a machine that is offline also says
# "No matching distribution", so the network comes first.
REMEDIES = {
    r"No space left on device|Errno 28|WinError 112": "the disk is full: free some space and run it again",
    r"connection broken by|ConnectionError|NameResolutionError|timed out|ProxyError|SSLError": (
        "the package index cannot be reached: connect to the internet (or set pip's proxy or index) and run it again"
    ),
    r"ensurepip|No module named venv": (
        "this Python cannot make an environment with pip: use another one, or install what it lacks (Debian, Ubuntu: "
        "apt install python3-venv)"
    ),
    r"No matching distribution found": (
        "a pinned package has no build for this Python and system; Python 3.10 to 3.14 on 64-bit Linux or Windows, or "
        "on Apple silicon, have all of them"
    ),
}


class SetupError(Exception):
    """What is wrong and what to do about it, in one line; `run.py` prints it and exits with 2."""


def explain(errors: str) -> str:
    """Turn what a failed command wrote to stderr into one line that says what to do."""
    for signs, remedy in REMEDIES.items():
        if re.search(signs, errors):
            return remedy
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("ERROR", "error", "E:"))]
    return (marked or lines or ["it failed, see above"])[-1]


def say(text: str) -> None:
    """Print a line at once, so that it is seen in order with the output of child processes."""
    print(text, flush=True)


def run_step(title: str, command: Sequence[str | Path]) -> None:
    """Run a command, showing its output and explaining its errors. Raises SetupError."""
    say(f"{title} ...")
    try:
        done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace")
    except OSError as error:
        raise SetupError(f"{title}: cannot start {command[0]}: {error}") from error
    if done.returncode:
        raise SetupError(f"{title}: {explain(done.stderr)}")


def run(command: Sequence[str | Path], **variables: str) -> int:
    """Run a command with more environment variables; return its exit status.

    When we are told to end, the command is waited for: it stops children of its own, such as a test's ComfyUI.
    """
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables})

    def end(*_signal_and_frame: object) -> None:
        process.send_signal(signal.SIGINT)  # a terminal sends Ctrl-C to both of us, SIGTERM comes to us alone
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    finally:
        process.kill()  # only at a second Ctrl-C does it still run
