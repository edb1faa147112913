"""ComfyUI and the pack inside this process, for what needs their functions and no server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def load_host(host: Path) -> ModuleType:
    """Import the host in a folder, on the CPU; return its module `nodes`."""
    sys.path.insert(0, str(host))  # before the repository's root, whose nodes/ would hide the host's nodes.py
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import nodes

    return nodes


def load_pack(host: Path) -> None:
    """Let the host, once imported, load this pack by its link, as it does at its start. Raises RuntimeError.

    Not in a thread that has an event loop.
    """
    import nodes

    link = next(entry for entry in (host / "custom_nodes").iterdir() if entry.resolve() == ROOT)
    if not asyncio.run(nodes.load_custom_node(str(link))):
        raise RuntimeError(f"the pack could not be loaded into the host: {link}")
