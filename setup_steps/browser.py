"""A Chromium or Chrome for the browser tests: found, else fetched by Playwright, else Debian's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .environment import venv_python
from .report import SetupError, run_step, say

VARIABLE = "RESPO_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
WINDOWS_PARENTS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
WINDOWS = "Google/Chrome/Application/chrome.exe"
PLAYWRIGHTS_OWN = (
    "from playwright.sync_api import sync_playwright as start\nwith start() as p: print(p.chromium.executable_path)"
)


def starts(path: str) -> bool:
    """Say whether a browser starts; distributions ship stubs, and downloaded ones may lack system libraries."""
    if not Path(path).is_file():
        return False
    if os.name == "nt":
        return True  # `--version` would open a window there
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_installed() -> str | None:
    """Return the path of a Chromium or Chrome on this machine, or None."""
    candidates = [os.environ.get(VARIABLE), *map(shutil.which, NAMES)]
    if sys.platform == "darwin":
        candidates += MAC
    candidates += [str(Path(os.environ[parent]) / WINDOWS) for parent in WINDOWS_PARENTS if parent in os.environ]
    return next((path for path in candidates if path and starts(path)), None)


def playwrights_own() -> str | None:
    """Return the path of the Chromium that Playwright fetched earlier, or None."""
    answer = subprocess.run([venv_python(), "-c", PLAYWRIGHTS_OWN], capture_output=True, text=True)
    path = answer.stdout.strip()
    return path if answer.returncode == 0 and starts(path) else None


def fetch_by_playwright() -> str | None:
    """Let Playwright fetch its Chromium; return its path, or None when that one cannot start here."""
    run_step("Chromium, by Playwright", [venv_python(), "-m", "playwright", "install", "chromium"])
    return playwrights_own()


def install_debians() -> str | None:
    """Install Debian's Chromium when we may; return its path or None."""
    if not shutil.which("apt-get") or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    run_step("Debian's package lists", ["apt-get", "update"])
    run_step("Chromium, from Debian", ["apt-get", "install", "-y", "--no-install-recommends", "chromium"])
    return find_installed()


def ensure_browser() -> str | None:
    """Return the path of a browser for the tests, getting one if need be; None when every way failed."""
    ways: tuple[Callable[[], str | None], ...] = (find_installed, playwrights_own, fetch_by_playwright, install_debians)
    for way in ways:
        try:
            path = way()
        except SetupError as error:
            say(f"  {error}")
            continue
        if path:
            say(f"browser for the tests: {path}")
            return path
    return None
