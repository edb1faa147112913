"""The virtual environment `.venv` and what is installed in it.

Every finished step leaves a stamp in `.venv`, whose content is a hash of the pins it was done for. A step whose stamp
fits is skipped, so a second run starts at once; a step that was interrupted has no stamp and is done again.
"""

from __future__ import annotations

import contextlib
import hashlib
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
TORCH = REQUIREMENTS / "torch.txt"
LOCK = REQUIREMENTS / "lock.txt"
# PyTorch's Linux builds bring CUDA: 5.5 GB unpacked, besides what pip needs for a moment.
PYTORCH_GB = 7.0 if sys.platform == "linux" else 3.0
VENV_GB = 0.1


def venv_python(venv: Path = VENV) -> Path:
    """Return where the interpreter of a virtual environment is, on this system."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def pip(action: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command that lets the pip of `.venv` do something without asking."""
    options = ("--disable-pip-version-check", "--no-input")
    return [venv_python(), "-m", "pip", *options, action, "--progress-bar", "off", *arguments]


def digest(*parts: str | Path) -> str:
    """Hash strings and the contents of files: the key of a stamp."""
    content = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode()
        content.update(hashlib.sha256(data).digest())
    return content.hexdigest()


def stamped(stamp: Path, key: str) -> bool:
    """Say whether a step was completed for exactly these pins."""
    try:
        return stamp.read_text().strip() == key
    except OSError:
        return False


def write_stamp(stamp: Path, key: str) -> None:
    """Note that a step is complete; appears whole or not at all."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    beside = stamp.with_suffix(".new")
    beside.write_text(key + "\n")
    os.replace(beside, stamp)


def venv_version(venv: Path = VENV) -> str | None:
    """Return the Python version ("3.12") of a virtual environment that runs and has pip, else None."""
    ask = "import pip, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        # Without a time limit: on a busy machine a slow answer must not pass for a broken environment.
        answer = subprocess.run([venv_python(venv), "-c", ask], capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def ensure_venv(title: str, venv: Path = VENV) -> str:
    """Make the virtual environment unless a working one is there; return its Python version.

    Raises:
        SetupError: it cannot be made.
    """
    version = venv_version(venv)
    if version:
        say(f"{title}: there (Python {version})")
        return version
    if venv.exists():
        say(f"{title}: the {venv.name} found does not work (half made?), so it is made anew")
    require_space(title, venv.parent, VENV_GB)
    run_step(title, [sys.executable, "-m", "venv", "--clear", venv])
    version = venv_version(venv)
    if not version:
        raise SetupError(f"{title}: a fresh {venv.name} has no working pip: reinstall Python, or use another one")
    return version


def site_packages(venv: Path = VENV) -> list[Path]:
    """Return the package folders of a virtual environment."""
    return [*venv.glob("lib/python3*/site-packages"), *venv.glob("Lib/site-packages")]


def holds(package: str, venv: Path = VENV) -> bool:
    """Say whether a package's folder is in a virtual environment, complete or not."""
    return any((folder / package).is_dir() for folder in site_packages(venv))


def drop_half_installed(folders: Sequence[Path]) -> list[str]:
    """Remove the records of packages whose installation was cut off, so that pip repeats it; return their names.

    pip writes RECORD last. A package without one counts as installed for pip, yet may lack files, and pip cannot
    remove it either.
    """
    dropped = []
    for folder in folders:
        for info in folder.glob("*.dist-info"):
            record = info / "RECORD"
            if not record.is_file() or record.stat().st_size == 0:
                shutil.rmtree(info)
                dropped.append(info.name.partition("-")[0])
    return sorted(dropped)


def require_space(title: str, folder: Path, needed_gb: float) -> None:
    """Raise SetupError when a disk cannot hold what is to come: better now than after a long download."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < needed_gb:
        found = f"needs about {needed_gb:g} GB of disk, {free_gb:.1f} GB are free"
        raise SetupError(f"{title}: {found}: free some and run it again")


def install(title: str, name: str, arguments: Sequence[str | Path], version: str, proof: str = "") -> None:
    """Let pip install `arguments` into `.venv` unless that was done already; `proof` is Python that must then run.

    Args:
        title: what the progress line calls the step.
        name: the stamp's name.
        arguments: pip's; the files among them (`Path`) make the stamp's key together with `version`.
        version: the environment's Python version.
        proof: statements, such as an import, without which the step does not count as done.

    Raises:
        SetupError: pip or the proof failed.
    """
    stamp = VENV / "respo" / f"{name}.stamp"
    key = digest(version, *arguments)
    if stamped(stamp, key):
        say(f"{title}: there")
        return
    for package in drop_half_installed(site_packages()):
        say(f"{title}: {package} was installed by halves, so it is installed again")
    run_step(title, pip("install", *arguments))
    if proof:
        run_step(f"{title}, trying it", [venv_python(), "-c", proof])
    write_stamp(stamp, key)


@contextlib.contextmanager
def one_at_a_time(path: Path = ROOT / "out" / "setup.lock") -> Iterator[None]:
    """Wait while another `run.py` sets up this folder: two pips in one environment break it."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "a+") as file:
        told = False
        while not try_lock(file.fileno()):
            if not told:
                say("another run.py is setting up this folder: waiting for it")
            told = True
            time.sleep(1)
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
