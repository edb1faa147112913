"""The virtual environment `.venv`, which all commands share, and what is installed in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .report import ROOT, SetupError, run_step, say

VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements"
# PyTorch's Linux builds bring CUDA: 5.5 GB unpacked, besides what pip needs for a moment.
NEEDED_GB = 7.0 if sys.platform == "linux" else 3.0


def venv_python(venv: Path = VENV) -> Path:
    """Return where the interpreter of a virtual environment is, on this system."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def pip(action: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command that lets the pip of `.venv` do something without asking."""
    return [venv_python(), "-m", "pip", "--disable-pip-version-check", "--no-input", action, *arguments]


def works(venv: Path) -> bool:
    """Say whether a virtual environment runs and has pip."""
    try:
        # Without a time limit: on a busy machine a slow answer must not pass for a broken environment.
        return subprocess.run([venv_python(venv), "-c", "import pip"], capture_output=True).returncode == 0
    except OSError:
        return False


def ensure_venv(venv: Path = VENV, needed_gb: float = NEEDED_GB) -> None:
    """Make the virtual environment unless a working one is there, and the disk can hold it. Raises SetupError."""
    if works(venv):
        return
    if venv.exists():
        say(f"the {venv.name} found does not work (half made?), so it is made anew")
        shutil.rmtree(venv, ignore_errors=True)
    free_gb = shutil.disk_usage(venv.parent).free / 1e9
    if free_gb < needed_gb:
        raise SetupError(f"{needed_gb:g} GB of disk are needed, {free_gb:.1f} GB are free: free some and run it again")
    run_step("virtual environment", [sys.executable, "-m", "venv", "--clear", venv])


def drop_half_installed(venv: Path = VENV) -> list[str]:
    """Remove the records of packages whose installation was cut off, so that pip repeats it; return their names.

    pip writes RECORD last. A package without one counts as installed for pip, yet may lack files, and pip cannot
    remove it either.
    """
    dropped = []
    packages = "Lib/site-packages" if os.name == "nt" else "lib/python3*/site-packages"
    for info in venv.glob(f"{packages}/*.dist-info"):
        record = info / "RECORD"
        if not record.is_file() or record.stat().st_size == 0:
            shutil.rmtree(info)
            dropped.append(info.name.partition("-")[0])
    return sorted(dropped)


def install(files: Sequence[Path], constraints: Path, venv: Path = VENV) -> None:
    """Let pip install what requirement files name, unless a stamp, their copy, says that it did. Raises SetupError."""
    stamp = venv / "respo.stamp"
    pins = b"".join(file.read_bytes() for file in [*files, constraints])
    if stamp.is_file() and stamp.read_bytes() == pins:
        return
    stamp.unlink(missing_ok=True)  # from here on nobody knows what is installed
    for package in drop_half_installed(venv):
        say(f"{package} was installed by halves, so it is installed again")
    named = [argument for file in files for argument in ("-r", file)]
    run_step("packages, some GB the first time", pip("install", *named, "-c", constraints))
    run_step("trying PyTorch", [venv_python(venv), "-c", "import torch, torchvision, torchaudio"])
    stamp.write_bytes(pins)


@contextlib.contextmanager
def one_at_a_time(path: Path = ROOT / "out" / "setup.lock") -> Iterator[None]:
    """Wait while another `run.py` sets up this folder: two pips in one environment break it."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "a+") as file:
        while not try_lock(file.fileno()):
            say("another run.py is setting up this folder: waiting for it")
            time.sleep(5)
        yield  # closing the file, or the end of the process, unlocks it


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this process; False when another one holds it, True where nothing can be locked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # a file system without locks: better unprotected than stuck
    return True
