"""The archive that ComfyUI's registry would publish: what git tracks, less what `.comfyignore` names."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

from .report import ROOT, SetupError, say

LARGEST_MB = 30.0
IGNORED = ".comfyignore"


def published_files(root: Path = ROOT) -> list[str]:
    """Return the names of the archive's files, sorted, with slashes. Raises SetupError.

    git itself reads `.comfyignore`, whose patterns are those of a .gitignore.
    """
    left_out = set(_git_files(root, "--cached", "--ignored", f"--exclude-from={IGNORED}"))
    kept = [name for name in _git_files(root, "--cached") if name not in left_out]
    # A file that was removed and not yet committed is not there to be published.
    return sorted(name for name in kept if (root / name).is_file())


def _git_files(root: Path, *options: str) -> list[str]:
    """Return what `git ls-files` lists. Raises SetupError."""
    try:
        done = subprocess.run(["git", "ls-files", "-z", *options], cwd=root, capture_output=True)
    except OSError as error:
        raise SetupError(f"git cannot be started ({error}): install it, the archive holds what it tracks") from error
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip()
        raise SetupError(f"the archive holds what git tracks; git says {told!r}: use a clone")
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def build_archive(root: Path = ROOT) -> Path:
    """Write `build/respo-VERSION.zip` and return its path; the same files always give the same bytes.

    Raises SetupError when there is nothing to build it from, or it is larger than LARGEST_MB; then none is left.
    """
    names = published_files(root)
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    version = project.partition('\nversion = "')[2].partition('"')[0]
    path = root / "build" / f"respo-{version}.zip"
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
