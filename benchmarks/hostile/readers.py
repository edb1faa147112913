"""Every way in for a file: who reads it, and what kinds of files it is tried with. A new reader is one more line.

tests/core/test_hostile_files.py finds whatever reads files and is not reached from here.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.comfy_server import require_host
from respo_train.core.errors import ModuleFileError, RespoError
from respo_train.core.files.checkpoint import load_attribute, read_metadata
from respo_train.core.files.text import read_text
from respo_train.core.files.text_form import from_text
from respo_train.core.foreign.names import parse_concepts
from respo_train.core.foreign.read import Imported, read_file
from respo_train.core.module.concept import ConceptModule
from respo_train.evaluation import cells, i2p, inception, real
from respo_train.evaluation.folder import read_picture
from respo_train.judges.clip import ClipJudge
from respo_train.judges.clip_prompts import parse_prompts
from respo_train.judges.emoji_world import load_judge
from respo_train.judges.segmenter import load_segmenter
from respo_train.latents import pictures
from respo_train.report.sheet import Sheet
from respo_train.report.watcher import Report
from respo_train.resume import restore_state
from respo_train.settings.preset_files import read_config
from respo_train.trainer import ConceptState, TrainState

from . import commands, right
from .corpus import CLIP, GOOD_ARCHIVE, KINDS, ROOT


@dataclass(frozen=True)
class Reader:
    """`kinds`: what it is tried with; `check`: raises AssertionError for what was read wrongly.

    `memory`: the bytes that it may take beside six times the file's size.
    """

    kinds: tuple[str, ...]
    read: Callable[[Path], Any]
    check: Callable[[Path, Any], None] | None = None
    memory: int = 2**28


def _restored(path: Path) -> TrainState:
    module, source = ConceptModule(6, 4, 5), _stand_in(found=torch.zeros(2, 4), places=[0, 0])
    source.tensors, source.numbers = lambda: {"latents": source.found}, lambda: {"places": source.places}
    source.restore = lambda tensors, numbers: vars(source).update(found=tensors["latents"], places=numbers["places"])
    optimizers: dict[str, torch.optim.Optimizer] = {
        key: torch.optim.Adam(part.parameters()) for key, part in module.named_children()
    }
    state = TrainState(0, {"woman": ConceptState(module, optimizers, source, [])})
    restore_state(path, state)
    return state


def _node(node_id: str, of_file: str, /, **inputs: Any) -> Callable[[Path], None]:
    """Return what runs a node as the host does: ask whether the input is valid, whether it has changed, execute."""

    def run(path: Path) -> None:
        node, given = _host()[node_id], {of_file: path.name, **inputs}
        for method in (node.validate_inputs, node.fingerprint_inputs, node.execute):
            answer = method(**{key: given[key] for key in inspect.signature(method).parameters if key in given})
            if method == node.validate_inputs and answer is not True:
                raise ModuleFileError(str(answer))
        path.with_name("imported.safetensors").unlink(missing_ok=True)

    return run


def _judged(path: Path) -> None:
    """Let a CLIP judge look at a picture, with this file in the place of one of its own."""
    with tempfile.TemporaryDirectory() as made:
        folder = shutil.copytree(CLIP, Path(made) / "clip")
        (folder / path.name).unlink()
        put = os.link if path.is_file() and not path.is_symlink() else os.symlink
        put(path, folder / path.name)
        if path.name == "tokenizer.json":  # else it is not looked at
            (folder / "vocab.json").unlink()
        ClipJudge(folder).verdicts(torch.zeros(1, 3, 8, 9))


def _imported(path: Path) -> Imported:
    return read_file(path.parents[1] / GOOD_ARCHIVE, parse_concepts(read_text(path, "the list of concepts")))


def _stand_in(**attributes: Any) -> Any:
    """Return an object that has what a reader looks at, and nothing else."""
    return SimpleNamespace(**attributes)


def _running_total(path: Path) -> Any:
    """Read a running total as its only caller does, which puts an OSError into words."""
    try:
        return _shared("totals")._read(path, {})
    except OSError as error:
        raise RespoError(f"cannot read {path}: {error.strerror}. Check its name.") from error


def _shared(name: str) -> Any:
    """Return a module of nodes/shared, as the host has loaded it."""
    return sys.modules[_host()["RespoLoadModule"].__module__.rpartition(".")[0] + f".shared.{name}"]


@lru_cache(maxsize=1)
def _host() -> Mapping[str, Any]:
    """Load the pack into the host, as its tests do; return the nodes by their ids."""
    host = require_host()
    sys.path.insert(0, str(host))  # before the repository's root, whose nodes/ would hide the host's nodes.py
    import comfy.cli_args

    comfy.cli_args.args.cpu = True
    import nodes

    link = next(entry for entry in (host / "custom_nodes").iterdir() if entry.resolve() == ROOT)
    if not asyncio.run(nodes.load_custom_node(str(link))):
        raise RuntimeError("the pack could not be loaded into the host")
    found: Mapping[str, Any] = nodes.NODE_CLASS_MAPPINGS
    return found


def use_folder(folder: Path) -> None:
    """Let the host's nodes read in `folder` alone."""
    _host()
    import folder_paths

    folder_paths.folder_names_and_paths["respo"] = ([str(folder)], folder_paths.folder_names_and_paths["respo"][1])


BOTH = ("module", "archive")
_IMPORT = {"only": "", "concepts": "", "base": "as published", "name": "imported", "existing": "refuse"}
READERS: Mapping[str, Reader] = {
    "reader": Reader(BOTH, load_attribute, right.module),
    "metadata": Reader(BOTH, read_metadata, right.size),
    "importer": Reader(BOTH, read_file, right.archive),
    "load node": Reader(BOTH, _node("RespoLoadModule", "module"), right.inside),
    "import node": Reader(BOTH, _node("RespoImportModule", "file", **_IMPORT), right.inside),
    "safety node": Reader(("module",), lambda path: _shared("safety_concepts")._concepts_of(path.name)),
    "Inception's weights": Reader(("weights",), inception._refuse_code),
    "module in a text": Reader(("module text",), lambda path: from_text(read_text(path, "it")), right.text, 2**26),
    "judge": Reader(("judge", "module"), load_judge),
    "segmenter": Reader(("segmenter", "module"), load_segmenter),
    "training state": Reader(("state", "module"), _restored, right.state),
    "latents kept": Reader(("latents",), lambda path: pictures._read(path, "signature")),
    "running total": Reader(("total",), _running_total),
    "effects": Reader(("effects",), lambda path: Report._effects(_stand_in(_folder=path.parent, _key="run"))),
    "cell": Reader(("cell",), lambda path: cells.Store(path.parent).state(_stand_in(key=path.stem, about={}))),
    "CLIP's folder": Reader(tuple(kind for kind in KINDS if kind.startswith("CLIP")), _judged, right.no_link),
    "list of concepts": Reader(("concepts",), _imported, right.concepts),
    "judge's prompts": Reader(("judge prompts",), lambda path: parse_prompts(read_text(path, "the prompts"))),
    "preset": Reader(("preset",), lambda path: read_config(str(path))),
    "I2P's prompts": Reader(("prompts",), lambda path: i2p.read_prompts(path, 1, 0)),
    "real pictures": Reader(("pictures",), real._read_array),
    "real picture": Reader(("picture", "sheet"), lambda path: real._picture(path, (8, 8))),
    "audited picture": Reader(("picture", "sheet"), read_picture),
    "sheet": Reader(("sheet", "picture"), Sheet.load),
    **{name: Reader(tuple(own[0]), partial(commands.give_file, name)) for name, own in commands.FILES.items()},
    **{f"words to {name}": Reader(("words",), read) for name, read in commands.all_words().items()},
}
