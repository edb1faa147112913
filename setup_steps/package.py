"""The archive that ComfyUI's registry would publish: what git tracks, less what `.comfyignore` names."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from pathlib import Path

from .report import ROOT, SetupError, say

LARGEST_MB = 30.0
IGNORED = ".comfyignore"
BUILD = "build"
_VERSION = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)


def published_files(root: Path = ROOT) -> list[str]:
    """Return the names of the archive's files, sorted, with slashes.

    git itself reads `.comfyignore`, whose patterns are those of a .gitignore.

    Raises:
        SetupError: no git, no clone, or no `.comfyignore`.
    """
    if not (root / IGNORED).is_file():
        raise SetupError(f"expected {IGNORED} beside run.py, found none: get it from the repository")
    left_out = set(_git_files(root, "--cached", "--ignored", f"--exclude-from={IGNORED}"))
    kept = [name for name in _git_files(root, "--cached") if name not in left_out]
    # A file that was removed and not yet committed is not there to be published.
    return sorted(name for name in kept if (root / name).is_file())


def _git_files(root: Path, *options: str) -> list[str]:
    """Return what `git ls-files` lists. Raises SetupError."""
    command = ["git", "ls-files", "-z", *options]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True)
    except OSError as error:
        raise SetupError(f"git cannot be started ({error}): install it, the archive holds what it tracks") from error
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise SetupError(f"the archive holds what git tracks; git says {(told or ['nothing'])[-1]!r}: use a clone")
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def version_of(root: Path = ROOT) -> str:
    """Return the version that `pyproject.toml` names. Raises SetupError."""
    found = _VERSION.search((root / "pyproject.toml").read_text(encoding="utf-8"))
    if not found:
        raise SetupError('expected a line version = "1.2.3" in pyproject.toml, found none: put it back')
    return found[1]


def build_archive(root: Path = ROOT) -> Path:
    """Write `build/respo-VERSION.zip` and return its path; the same files always give the same bytes.

    Raises:
        SetupError: there is nothing to build it from, or it is larger than LARGEST_MB; then none is left.
    """
    names = published_files(root)
    path = root / BUILD / f"respo-{version_of(root)}.zip"
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)  # dated 1980, whenever the file was written
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (root / name).read_bytes(), zipfile.ZIP_DEFLATED)
    size = path.stat().st_size / 1e6
    if size > LARGEST_MB:
        path.unlink()
        raise SetupError(f"the archive has {size:.1f} MB, at most {LARGEST_MB:g} are meant: name more in {IGNORED}")
    say(f"{path.relative_to(root)}: {len(names)} files, {size:.1f} MB")
    return path
