"""A Chromium or Chrome for the browser tests: found, else fetched by Playwright, else Debian's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .environment import venv_python
from .report import SetupError, run_step, say

VARIABLE = "RESPO_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLAYWRIGHTS_OWN = "from playwright.sync_api import *; print(sync_playwright().start().chromium.executable_path)"
# How to get one, in the order to try. Only root gets one from Debian; Playwright's may lack system libraries.
WAYS: tuple[tuple[str, list[str | Path]], ...] = (
    ("Chromium, by Playwright", [venv_python(), "-m", "playwright", "install", "chromium"]),
    ("Debian's package lists", ["apt-get", "update"]),
    ("Chromium, from Debian", ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]),
)


def starts(path: str) -> bool:
    """Say whether a browser starts: distributions ship stubs, and a downloaded one may not run."""
    if os.name == "nt":
        return Path(path).is_file()  # `--version` would open a window there
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def playwrights_own() -> str:
    """Return where Playwright puts its Chromium, whether it is there or not; empty without Playwright."""
    if not venv_python().is_file():
        return ""
    return subprocess.run([venv_python(), "-c", PLAYWRIGHTS_OWN], capture_output=True, text=True).stdout.strip()


def find_installed() -> str | None:
    """Return the path of a browser on this machine: what RESPO_BROWSER names, one on the PATH, or Playwright's."""
    named = (path for path in (os.environ.get(VARIABLE), *map(shutil.which, NAMES)) if path and starts(path))
    return next(named, None) or next(filter(starts, [playwrights_own()]), None)


def ensure_browser() -> str | None:
    """Return the path of a browser for the tests, getting one if need be; None when every way failed."""
    for title, command in WAYS:
        if find_installed():
            break
        try:
            run_step(title, command)
        except SetupError as error:
            say(f"  {error}")
    return find_installed()
