"""One process that reads hostile files: its address space ends 1 GiB above where it stood when it was ready.

For each line of its input, {"path": …, "concepts": …}, it prints one with what every reader made of the file.
`python -m benchmarks.hostile.file_worker FOLDER`: `FOLDER` is the `respo` folder of the host, whose nodes read too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.comfy_server import require_host
from benchmarks.hostile.right_file import check_archive, check_module
from respo_train.core.errors import ModuleFileError, RespoError
from respo_train.core.files.checkpoint import load_attribute, read_metadata
from respo_train.core.foreign.names import parse_concepts
from respo_train.core.foreign.read import read_file

ROOM = 2**30  # bytes
ROOT = Path(__file__).resolve().parents[2]
_CHECKS: dict[str, Callable[[Path, Any], None]] = {"reader": check_module, "importer": check_archive}


def main(folder: Path) -> None:
    """Read until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the host prints is no answer
    torch.set_num_threads(1)
    nodes = _nodes(folder)
    os.chdir(folder)
    capped = False
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.get("cap") and not capped:
            capped = _cap()
            continue
        answers.write(json.dumps(_read(Path(asked["path"]), asked["concepts"], nodes)) + "\n")
        answers.flush()


def _nodes(folder: Path) -> Any:
    """Load the pack into the host, as its tests do; return the nodes by their ids."""
    host = require_host()
    sys.path.insert(0, str(host))  # before the repository's root, whose nodes/ would hide the host's nodes.py
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import folder_paths
    import nodes

    link = next(entry for entry in (host / "custom_nodes").iterdir() if entry.resolve() == ROOT)
    if not asyncio.run(nodes.load_custom_node(str(link))):
        raise RuntimeError("the pack could not be loaded into the host")
    folder_paths.folder_names_and_paths["respo"] = ([str(folder)], folder_paths.folder_names_and_paths["respo"][1])
    return nodes.NODE_CLASS_MAPPINGS


def _cap() -> bool:
    """Let nothing more be had than 1 GiB above now; only Linux knows how much is had."""
    if not sys.platform.startswith("linux"):
        return False
    import resource

    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, resource.RLIM_INFINITY))
    return True


def _read(path: Path, concepts: str | None, nodes: Any) -> dict[str, Any]:
    """Return each reader's verdict and its seconds of this process; and the most memory that any of them took."""

    def imported() -> Any:
        return read_file(path, None if concepts is None else parse_concepts(concepts))

    readers: dict[str, Callable[[], Any]] = {
        "reader": lambda: load_attribute(path),
        "metadata": lambda: read_metadata(path),
        "importer": imported,
        "load node": lambda: _load_node(nodes["RespoLoadModule"], path.name),
        "import node": lambda: _import_node(nodes["RespoImportModule"], path.name, concepts or ""),
    }
    judged, memory = {}, 0
    for name, reader in readers.items():
        before = _memory("VmRSS")
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the highest so far begins anew
        judged[name], value = _judged(reader)
        memory = max(memory, _memory("VmHWM") - before)
        if judged[name][0] == "read" and name in _CHECKS:
            (kind, text, _), _ = _judged(partial(_CHECKS[name], path, value))
            judged[name] = judged[name] if kind == "read" else ("defect", f"read wrongly: {text}", 0.0)
        del value  # the next one needs the room
    return {"readers": judged, "memory": memory}


def _judged(reader: Callable[[], Any]) -> tuple[tuple[str, str, float], Any]:
    """Return "read", "refused" or "defect", what happened, and the seconds; and what was read."""
    began = time.process_time()
    kind, text, value = "read", "", None
    try:
        value = reader()
    except ValueError as error:
        # The pack's own class of error is another one than the trainer's: each has imported its own.
        ours = isinstance(error, RespoError) or type(error).__module__.endswith("respo_train.core.errors")
        kind, text = ("refused", str(error)) if ours else ("defect", traceback.format_exc())
    except Exception:  # noqa: BLE001  # whatever it is, it is what this is looking for
        kind, text = "defect", traceback.format_exc()
    return (kind, text[-3000:], time.process_time() - began), value


def _load_node(node: Any, name: str) -> None:
    """As the host does it: ask whether the input is valid, then whether it has changed, then run."""
    _require_valid(node.validate_inputs(module=name))
    node.fingerprint_inputs(module=name)
    node.execute(module=name)


def _import_node(node: Any, name: str, concepts: str) -> None:
    """The same; what it saves is as good as its name, and taken away again."""
    _require_valid(node.validate_inputs(file=name, concepts=concepts, name="imported"))
    node.fingerprint_inputs(file=name)
    given = {"only": "", "concepts": concepts, "base": "as published"}
    node.execute(file=name, **given, name="imported", existing="refuse")
    Path("imported.safetensors").unlink()


def _require_valid(answer: bool | str) -> None:
    if answer is not True:
        raise ModuleFileError(str(answer))


def _memory(entry: str) -> int:
    """Return an entry of this process's status in bytes, 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(entry + ":"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
