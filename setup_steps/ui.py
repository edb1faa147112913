"""Start the ComfyUI that has the pack, and say where it is."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from .environment import venv_python
from .processes import stop
from .report import ROOT, SetupError, say

DEFAULT_PORT = 8188
PORTS_TRIED = 20
HAS_GPU = "import torch as t; print(any(a.is_available() for a in (t.cuda, t.backends.mps, t.xpu)))"


def port_is_free(port: int) -> bool:
    """Say whether a server can listen on a port of this machine."""
    with socket.socket() as probe:
        if os.name != "nt":  # there the option would allow a port that is in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(wanted: int | None) -> int:
    """Return the wanted port, or without a wish the first free one from 8188 on.

    Raises:
        SetupError: the wanted port, or each that was tried, is taken.
    """
    ports = [wanted] if wanted else range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED)
    for port in ports:
        if port_is_free(port):
            return port
        if not wanted:
            say(f"port {port} is taken, trying the next")
    raise SetupError(f"port {ports[0]} is taken: stop what listens there, or choose another with --port")


def has_gpu() -> bool:
    """Ask PyTorch in `.venv` for a GPU."""
    answer = subprocess.run([venv_python(), "-c", HAS_GPU], capture_output=True, text=True)
    return answer.stdout.strip() == "True"


def answers(url: str) -> bool:
    """Say whether ComfyUI answers at an address."""
    try:
        with urllib.request.urlopen(f"{url}/system_stats", timeout=5) as reply:
            return reply.status == 200
    except (OSError, urllib.error.URLError):
        return False


def serve(host: Path, port: int, extra: list[str]) -> int:
    """Run ComfyUI until it ends or Ctrl-C is pressed; return its exit status."""
    device = [] if has_gpu() else ["--cpu"]
    command: list[str | Path] = [
        venv_python(),
        host / "main.py",
        "--port",
        str(port),
        "--disable-api-nodes",
        *device,
        *extra,
    ]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(command, cwd=ROOT)
    told = False
    try:
        while process.poll() is None:
            if not told and answers(url):
                say(f"\nComfyUI with Respo is at {url} (Ctrl-C stops it)\n")
                told = True
            time.sleep(0.5)
    except KeyboardInterrupt as interrupt:
        stop(process, interrupt)
        return 0
    return process.returncode
