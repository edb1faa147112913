"""Progress lines, quiet commands and errors of one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / "out" / "setup.log"
QUIET_SECONDS = 15  # how often a step reports where lines cannot be rewritten (CI logs)
TAIL_BYTES = 4096

# What pip, venv and apt say -> what a person should read. The first match wins; a machine that is offline also says
# "no matching distribution", so the network comes first.
REMEDIES = (
    (("No space left on device", "[Errno 28]", "WinError 112"), "the disk is full: free some space and run it again"),
    (
        (
            "NameResolutionError",
            "NewConnectionError",
            "Temporary failure in name resolution",
            "getaddrinfo failed",
            "Network is unreachable",
            "ProxyError",
            "ConnectTimeoutError",
            "ReadTimeoutError",
            "Read timed out",
            "SSLError",
        ),
        "the package index cannot be reached: connect to the internet (or set pip's proxy or index) and run it again",
    ),
    (
        ("ensurepip is not available", "No module named ensurepip", "No module named venv"),
        "this Python comes without venv: install it (Debian, Ubuntu: apt install python3-venv) and run it again",
    ),
    (
        ("'ensurepip',", '"ensurepip",'),
        "pip could not be put into it: try another Python, or reinstall this one",
    ),
    (("Permission denied", "WinError 5", "[Errno 13]"), "a file may not be written: check who owns this folder"),
    (
        ("No matching distribution found",),
        "a pinned package has no build for this Python and system; Python 3.10 to 3.14 on 64-bit Linux or Windows, or "
        "on Apple silicon, have all of them",
    ),
)


class SetupError(Exception):
    """What is wrong and what to do about it, in one line; `run.py` prints it and exits with 2."""


def explain(output: str) -> str:
    """Turn the output of a failed command into one line that says what to do."""
    for signs, remedy in REMEDIES:
        if any(sign in output for sign in signs):
            return remedy
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "error", "E:"))]
    return (errors or lines or ["no output"])[-1]


def say(text: str) -> None:
    """Print a line at once, so that it is seen in order with the output of child processes."""
    print(text, flush=True)


class ProgressLine:
    """One step's line: rewritten in place on a terminal, repeated now and then in a log."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = self.reported = time.monotonic()
        self.live = sys.stdout.isatty()
        if not self.live:
            say(f"{title} ...")

    def tick(self, detail: str) -> None:
        """Show that the step goes on; `detail` is the last thing its command said."""
        now = time.monotonic()
        text = f"{self.title} ... {now - self.started:.0f} s  {detail}"
        if self.live:
            self.rewrite(text)
        elif now - self.reported >= QUIET_SECONDS:
            self.reported = now
            say(text)

    def rewrite(self, text: str) -> None:
        """Replace the line on the terminal; by padding, since older Windows consoles have no escape sequences."""
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{text[:width]:<{width}}\r", end="", flush=True)

    def done(self, result: str = "done") -> None:
        """Close the line."""
        if self.live:
            self.rewrite("")
        say(f"{self.title}: {result}, {time.monotonic() - self.started:.0f} s")


def run_step(title: str, command: Sequence[str | Path]) -> str:
    """Run a command with a progress line instead of its output, which goes to `out/setup.log`; return that output.

    Raises:
        SetupError: the command failed; the message holds the cause and the remedy in one line.
    """
    LOG.parent.mkdir(exist_ok=True)
    line = ProgressLine(title)
    with open(LOG, "ab") as log:
        start = log.tell()
        log.write(f"\n$ {' '.join(map(str, command))}\n".encode())
        log.flush()
        try:
            process = subprocess.Popen(list(command), stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        except OSError as error:
            raise SetupError(f"{title}: cannot start {command[0]}: {error}") from error
        try:
            while process.poll() is None:
                time.sleep(0.2)
                line.tick(last_line(LOG))
        except BaseException:
            process.kill()
            process.wait()
            raise
    output = LOG.read_bytes()[start:].decode(errors="replace")
    if process.returncode:
        line.done("failed")
        raise SetupError(f"{title}: {explain(output)} (details: {LOG.relative_to(ROOT)})")
    line.done()
    return output


def last_line(path: Path) -> str:
    """Return the last line of a file that is being written, shortened; empty when there is none."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:120]
