"""The commands of `run.py`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from .browser import VARIABLE, ensure_browser
from .environment import (
    LOCK,
    PYTORCH_GB,
    REQUIREMENTS,
    TORCH,
    ensure_venv,
    holds,
    install,
    one_at_a_time,
    require_space,
    venv_python,
)
from .host import OWN_HOST, ensure_host, find_host, link_pack
from .package import build_archive
from .processes import end_as_interrupted, stop
from .report import ROOT, SetupError, say
from .ui import choose_port, serve

USAGE = """python run.py COMMAND [options]

  demo      train a module on Emoji World and measure the pictures before and after; arguments go to the demo
  evidence  every method on Emoji World, measured: writes benchmarks/RESULTS.md; hours, --quick minutes
  test      run every test; arguments go to pytest
  ui        start ComfyUI with Respo in place; --port N (default 8188), other arguments go to ComfyUI
  package   build the archive for ComfyUI's registry into build/; needs git and installs nothing

The first run makes .venv and gets PyTorch and ComfyUI (about 6 GB); COMFYUI_PATH uses a ComfyUI that is there."""
TRY_TORCH = "import torch, torchvision, torchaudio"


def prepare(*groups: str) -> Path:
    """Make everything that a command needs, reusing what is there; return ComfyUI's folder.

    Args:
        groups: further requirement files besides ComfyUI's own: "train", "test".

    Raises:
        SetupError: something is missing that only the user can provide.
    """
    find_host()  # a wrong COMFYUI_PATH should be told before a long installation
    titles = ["virtual environment", "PyTorch", "ComfyUI", "ComfyUI's packages", *(f"packages to {g}" for g in groups)]
    numbered = iter(f"[{number}/{len(titles)}] {title}" for number, title in enumerate(titles, 1))
    with one_at_a_time():
        version = ensure_venv(next(numbered))
        install_torch(next(numbered), version)
        host = ensure_host(next(numbered))
        # Another ComfyUI may ask for other versions than the one we pin: there only PyTorch is held.
        held: list[str | Path] = ["-c", LOCK if host == OWN_HOST else TORCH]
        needed: list[str | Path] = ["-r", TORCH, "-r", REQUIREMENTS / "host.txt", "-r", host / "requirements.txt"]
        install(next(numbered), "host", [*needed, *held], version)
        for group in groups:
            install(next(numbered), group, ["-r", REQUIREMENTS / f"{group}.txt", *held], version)
        link_pack(host)
    return host


def install_torch(title: str, version: str) -> None:
    """Install the pinned PyTorch, the largest step by far."""
    if not holds("torch"):
        require_space(title, ROOT, PYTORCH_GB)
    install(title, "torch", ["-r", TORCH, "-c", LOCK], version, proof=TRY_TORCH)


def run_module(module: str, arguments: list[str], **variables: str) -> int:
    """Run a module with the Python of `.venv` in the repository's root; return its exit status."""
    command: list[str | Path] = [venv_python(), "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables})
    try:
        return process.wait()
    except KeyboardInterrupt as interrupt:
        stop(process, interrupt)
        raise


def demo(arguments: list[str]) -> int:
    """Train, measure, show."""
    prepare("train")
    return run_module("benchmarks.demo", arguments)


def evidence(arguments: list[str]) -> int:
    """Draw and measure what every method does."""
    prepare("train")
    # Servers and judging share the cores between them; libraries that each take all of them slow each other down.
    return run_module("benchmarks.evidence", arguments, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


def test(arguments: list[str]) -> int:
    """Run the tests; without a browser those that need one are skipped, but never in CI."""
    prepare("train", "test")
    browser = ensure_browser()
    if browser is None:
        say("!!! No Chromium or Chrome could be found or installed: the browser tests do not run.")
        say(f"!!! Install one, or set {VARIABLE} to its path.")
    return run_module("pytest", arguments, **{VARIABLE: browser or ""})


def ui(arguments: list[str]) -> int:
    """Start ComfyUI with the pack."""
    parser = argparse.ArgumentParser(prog="run.py ui", add_help=False, allow_abbrev=False)
    parser.add_argument("--port", type=int)
    options, extra = parser.parse_known_args(arguments)
    port = choose_port(options.port)
    return serve(prepare(), port, extra)


def package(arguments: list[str]) -> int:
    """Build the archive."""
    argparse.ArgumentParser(prog="run.py package").parse_args(arguments)
    build_archive()
    return 0


COMMANDS = {"demo": demo, "evidence": evidence, "test": test, "ui": ui, "package": package}


def main(arguments: list[str]) -> int:
    """Run one command; return the exit status: 2 for what the user has to mend, 130 for Ctrl-C."""
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        asked_for_help = arguments[:1] in (["-h"], ["--help"], ["help"])
        print(USAGE, file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    end_as_interrupted()
    try:
        return command(arguments[1:])
    except SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
    except OSError as error:
        print(f"run.py: {error} (the next run goes on from here)", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nrun.py: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    return 2
