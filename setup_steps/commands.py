"""The commands of `run.py`."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .browser import VARIABLE, ensure_browser
from .environment import REQUIREMENTS, ensure_venv, install, one_at_a_time, venv_python
from .host import OWN_HOST, fetch_host, find_host, link_pack
from .package import build_archive
from .report import ROOT, SetupError, run, say

USAGE = """python run.py COMMAND [options]

  demo      train a module on Emoji World and measure the pictures before and after; arguments go to the demo
  evidence  every method on Emoji World, measured: writes benchmarks/RESULTS.md; hours, --quick minutes
  check     what to run before a push, in a minute: ruff, format, mypy, tests (the quick ones), or those you name
  test      run the tests, with --all also those marked slow; other arguments go to pytest
  ui        start ComfyUI with Respo in place; --port N (default 8188), other arguments go to ComfyUI
  package   build the archive for ComfyUI's registry into build/; needs git and installs nothing

The first run makes .venv and gets PyTorch and ComfyUI (about 6 GB); set COMFYUI_PATH to use one that you have."""
WORKERS = ("-n", "2")  # pytest-xdist's; what the user gives comes later and counts instead
NOT_SLOW = ("-m", "not slow")
NOT_QUICK = "not linter and not hostile_files and not long_prompts"  # the linters are the other three checks
QUICK_TESTS = ("tests/test_arrows.py", "tests/test_quality.py", "tests/core")
CHECKS = {
    "ruff": ("ruff", "check", "."),
    "format": ("ruff", "format", "--check", "."),
    "mypy": ("mypy",),
    "tests": ("pytest", "-q", *WORKERS, *NOT_SLOW, "-k", NOT_QUICK, *QUICK_TESTS),
}
# For processes that share the cores: libraries that each take all of them slow each other down.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PORTS = range(8188, 8208)
HAS_GPU = "import torch as t; print(any(a.is_available() for a in (t.cuda, t.backends.mps, t.xpu)))"


def prepare() -> Path:
    """Make everything that the commands need, reusing what is there; return ComfyUI's folder. Raises SetupError."""
    host = find_host()  # a wrong COMFYUI_PATH should be told before a long installation
    ours = [REQUIREMENTS / f"{name}.txt" for name in ("torch", "host", "train", "test")]
    # Another ComfyUI may ask for other versions than the ones we pin: there only PyTorch is held.
    held = REQUIREMENTS / ("lock.txt" if host == OWN_HOST else "torch.txt")
    with one_at_a_time():
        ensure_venv()
        if host == OWN_HOST:
            fetch_host()
        install([*ours, host / "requirements.txt"], held)
        link_pack(host)
    return host


def run_module(module: str, arguments: list[str], **variables: str) -> int:
    """Run a module with the Python of `.venv`; return its exit status."""
    return run([venv_python(), "-m", module, *arguments], **variables)


def demo(arguments: list[str]) -> int:
    """Train, measure, show."""
    prepare()
    return run_module("benchmarks.demo", arguments)


def evidence(arguments: list[str]) -> int:
    """Draw and measure what every method does."""
    prepare()
    return run_module("benchmarks.evidence", arguments, **ONE_THREAD)


def check(names: list[str]) -> int:
    """Run all checks or those that are named, side by side; return 1 when one fails."""
    unknown = sorted(set(names) - set(CHECKS))
    if unknown:
        raise SetupError(f"there is no check {unknown[0]!r}: the checks are {', '.join(CHECKS)}")
    prepare()
    running = {name: start_check(CHECKS[name]) for name in names or CHECKS}
    for name, process in running.items():
        output, _ = process.communicate()
        say(f"--- {name}\n{output.decode(errors='replace')}")
    failed = [name for name, process in running.items() if process.returncode]
    say(f"run.py check: {', '.join(failed)} failed" if failed else "run.py check: passed")
    return 1 if failed else 0


def start_check(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a module whose output is kept until it is asked for."""
    command: list[str | Path] = [venv_python(), "-m", *arguments]
    environment = {**os.environ, **ONE_THREAD}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test(arguments: list[str]) -> int:
    """Run the tests; without a browser those that need one are skipped, but never in CI."""
    prepare()
    if (browser := ensure_browser()) is None:
        say(f"!!! No Chromium or Chrome, so the browser tests do not run: install one, or set {VARIABLE} to its path.")
    chosen = [argument for argument in arguments if argument != "--all"]
    marked = [] if "--all" in arguments else NOT_SLOW
    return run_module("pytest", [*WORKERS, *marked, *chosen], **{VARIABLE: browser or ""})


def choose_port(wanted: int | None) -> int:
    """Return the wanted port, or without a wish the first of PORTS where nobody listens. Raises SetupError."""
    if wanted is not None and not 0 < wanted < 2**16:
        raise SetupError(f"expected a port from 1 to 65535, found {wanted}: choose another with --port")
    for port in [wanted] if wanted else PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
        say(f"port {port} is taken")
    raise SetupError(f"port {port} is taken: stop what listens there, or choose another with --port")


def ui(arguments: list[str]) -> int:
    """Start ComfyUI with the pack, on the processor where PyTorch finds no GPU."""
    parser = argparse.ArgumentParser(prog="run.py ui", add_help=False, allow_abbrev=False)
    parser.add_argument("--port", type=int)
    options, extra = parser.parse_known_args(arguments)
    port = choose_port(options.port)
    host = prepare()
    answer = subprocess.run([venv_python(), "-c", HAS_GPU], capture_output=True, text=True)
    device = [] if answer.stdout.strip() == "True" else ["--cpu"]
    return run([venv_python(), host / "main.py", "--port", str(port), "--disable-api-nodes", *device, *extra])


def package(arguments: list[str]) -> int:
    """Build the archive."""
    argparse.ArgumentParser(prog="run.py package").parse_args(arguments)
    build_archive()
    return 0


COMMANDS = {"demo": demo, "evidence": evidence, "check": check, "test": test, "ui": ui, "package": package}


def main(arguments: list[str]) -> int:
    """Run one command; return the exit status: 2 for what the user has to mend, 130 for Ctrl-C."""
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        asked_for_help = arguments[:1] in (["-h"], ["--help"], ["help"])
        print(USAGE, file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return command(arguments[1:])
    except (SetupError, OSError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrun.py: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
