"""Find ComfyUI, so that `import comfy` works outside of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from ..core.errors import RespoError

_REPO = Path(__file__).absolute().parents[2]


def use_host() -> None:
    """Make `import comfy` possible; inside a running ComfyUI do nothing. Raises RespoError when ComfyUI is not found.

    The host parses the command line only on request, so it does not see ours.
    """
    if "comfy.model_management" in sys.modules:
        return
    # Last, so that the host's top-level modules (nodes, tests, utils) do not hide ours.
    sys.path.append(str(find_host()))
    from comfy.cli_args import args

    # Must be set before comfy.model_management is imported: otherwise it requires CUDA.
    args.cpu = not _has_accelerator()


def find_host() -> Path:
    """Return ComfyUI's folder: COMFYUI_PATH, else the ComfyUI that contains this pack, else `.comfyui` beside it."""
    given = os.environ.get("COMFYUI_PATH")
    if given:
        if not _is_host(Path(given)):
            raise RespoError(f"COMFYUI_PATH is {given!r}, but there is no ComfyUI there (expected comfy/sd.py in it).")
        return Path(given)
    candidates = [_REPO / ".comfyui"]
    if _REPO.parent.name == "custom_nodes":
        candidates.insert(0, _REPO.parent.parent)
    for candidate in candidates:
        if _is_host(candidate):
            return candidate
    raise RespoError(
        "ComfyUI was not found. Set COMFYUI_PATH to its folder, put this pack into its custom_nodes, or run "
        "'python run.py demo' once, which fetches one."
    )


def host_version() -> str:
    """Return the version of the ComfyUI in use, or "unknown"."""
    try:
        import comfyui_version
    except ImportError:
        return "unknown"
    return str(comfyui_version.__version__)


def _is_host(folder: Path) -> bool:
    return (folder / "comfy" / "sd.py").is_file()


def _has_accelerator() -> bool:
    others = (torch.backends.mps, getattr(torch, "xpu", None))
    return torch.cuda.is_available() or any(other is not None and other.is_available() for other in others)
