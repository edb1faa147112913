"""Every way in for a file: who reads it, and what kinds of files it is tried with. A new reader is one more line.

tests/core/test_hostile_files.py finds whatever reads files and is not reached from here.
"""

from __future__ import annotations

import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import torch

from benchmarks.comfy_server import require_host
from benchmarks.host_here import load_host, load_pack
from respo_train.core.errors import ModuleFileError, RespoError
from respo_train.core.files.checkpoint import load_attribute, read_metadata
from respo_train.core.files.text import read_text
from respo_train.core.files.text_form import from_text
from respo_train.core.foreign.names import parse_concepts
from respo_train.core.foreign.read import read_file
from respo_train.core.module.concept import ConceptModule
from respo_train.evaluation import cells, folder, i2p, inception, real
from respo_train.judges import clip, clip_prompts, emoji_world, segmenter
from respo_train.latents import pictures
from respo_train.report import sheet, watcher
from respo_train.resume import restore_state
from respo_train.settings.preset_files import read_config
from respo_train.trainer import ConceptState, TrainState

from . import commands, right
from .corpus import CLIP, GOOD_ARCHIVE, KINDS, corpus


class Reader(NamedTuple):
    """`kinds`: what it is tried with; `check`: raises AssertionError or returns False for what was read wrongly.

    `memory`: the bytes that it may take beside six times the file's size.
    """

    kinds: tuple[str, ...]
    read: Callable[[Path], Any]
    check: Callable[[Path, Any], bool | None] | None = None
    memory: int = 2**28


_stand_in: Any = SimpleNamespace  # has what a reader looks at, and nothing else


def _restored(path: Path) -> TrainState:
    module, source = ConceptModule(6, 4, 5), _stand_in(found=torch.zeros(2, 4), places=[0, 0])
    source.tensors, source.numbers = lambda: {"latents": source.found}, lambda: {"places": source.places}
    source.restore = lambda tensors, numbers: vars(source).update(found=tensors["latents"], places=numbers["places"])
    optimizers = {key: torch.optim.Adam(part.parameters()) for key, part in module.named_children()}
    state = TrainState(0, {"woman": ConceptState(module, {**optimizers}, source, [])})
    restore_state(path, state)
    return state


def _node(node_id: str, of_file: str, /, **inputs: Any) -> Callable[[Path], None]:
    """Return what runs a node as the host does: ask whether the input is valid, whether it has changed, execute."""

    def run(path: Path) -> None:
        node, given = _host().NODE_CLASS_MAPPINGS[node_id], {of_file: path.name, **inputs}
        for method in (node.validate_inputs, node.fingerprint_inputs, node.execute):
            answer = method(**{key: given[key] for key in inspect.signature(method).parameters if key in given})
            if method == node.validate_inputs and answer is not True:
                raise ModuleFileError(str(answer))
        path.with_name("imported.safetensors").unlink(missing_ok=True)

    return run


def _judged(path: Path) -> None:
    """Let a CLIP judge look at a picture, with this file in the place of one of its own."""
    # Where there is a vocabulary, a tokenizer is not looked at.
    others = (path.name, "vocab.json" if path.name == "tokenizer.json" else "")
    with tempfile.TemporaryDirectory() as made:
        own = shutil.copytree(CLIP, Path(made) / "clip", ignore=shutil.ignore_patterns(*others))
        put = os.link if path.is_file() and not path.is_symlink() else os.symlink
        put(path, own / path.name)
        clip.ClipJudge(own).verdicts(torch.zeros(1, 3, 8, 9))


def _is_inside(path: Path, _: Any) -> bool:
    return path.resolve().is_relative_to(path.parent.resolve())


def _is_no_link(path: Path, _: Any) -> bool:
    return not (path.is_symlink() and path.is_file())


def _running_total(path: Path) -> Any:
    """Read a running total as its only caller does, which puts an OSError into words."""
    try:
        return _shared("totals")._read(path, {})
    except OSError as error:
        raise RespoError(f"cannot read {path}: {error.strerror}. Check its name.") from error


def _shared(name: str) -> Any:
    """Return a module of nodes/shared, as the host has loaded it."""
    package = _host().NODE_CLASS_MAPPINGS["RespoLoadModule"].__module__.rpartition(".")[0]
    return sys.modules[f"{package}.shared.{name}"]


@cache
def _host() -> ModuleType:
    """Return the host's nodes, the pack's among them."""
    nodes = load_host(require_host())
    load_pack(require_host())
    return nodes


def in_folder(own: Path) -> Mapping[str, Reader]:
    """Return READERS, once the host's nodes read in a folder alone."""
    known = _host().folder_paths.folder_names_and_paths
    known["respo"] = ([str(own)], known["respo"][1])
    return READERS


BOTH = ("module", "archive")
PICTURES = ("picture", "sheet")
_IMPORT = {"only": "", "concepts": "", "base": "as published", "name": "imported", "existing": "refuse"}
READERS: Mapping[str, Reader] = {
    "reader": Reader(BOTH, load_attribute, right.module),
    "metadata": Reader(BOTH, read_metadata, lambda path, _: path.stat().st_size <= 2**27),
    "importer": Reader(BOTH, read_file, right.archive),
    "load node": Reader(BOTH, _node("RespoLoadModule", "module"), _is_inside),
    "import node": Reader(BOTH, _node("RespoImportModule", "file", **_IMPORT), _is_inside),
    "safety node": Reader(("module",), lambda path: _shared("safety_concepts")._concepts_of(path.name)),
    "Inception's weights": Reader(("weights",), inception._refuse_code),
    "module in a text": Reader(("module text",), lambda path: from_text(read_text(path, "it")), right.text, 2**26),
    "judge": Reader(("judge", "module"), emoji_world.load_judge),
    "segmenter": Reader(("segmenter", "module"), segmenter.load_segmenter),
    "training state": Reader(("state", "module"), _restored, right.state),
    "latents kept": Reader(("latents",), lambda path: pictures._read(path, "signature")),
    "running total": Reader(("total",), _running_total),
    "effects": Reader(("effects",), lambda path: watcher.Report._effects(_stand_in(_folder=path.parent, _key="run"))),
    "cell": Reader(("cell",), lambda path: cells.Store(path.parent).state(_stand_in(key=path.stem, about={}))),
    "CLIP's folder": Reader(tuple(kind for kind in KINDS if kind.startswith("CLIP")), _judged, _is_no_link),
    "list of concepts": Reader(
        ("concepts",),
        lambda path: read_file(path.parents[1] / GOOD_ARCHIVE, parse_concepts(read_text(path, "the list"))),
        right.concepts,
    ),
    "judge's prompts": Reader(("judge prompts",), lambda path: clip_prompts.parse_prompts(read_text(path, "them"))),
    "preset": Reader(("preset",), lambda path: read_config(str(path))),
    "I2P's prompts": Reader(("prompts",), lambda path: i2p.read_prompts(path, 1, 0)),
    "real pictures": Reader(("pictures",), real._read_array),
    "real picture": Reader(PICTURES, lambda path: real._picture(path, (8, 8))),
    "audited picture": Reader(PICTURES, folder.read_picture),
    "sheet": Reader(PICTURES, sheet.Sheet.load),
    **{name: Reader(tuple(own[0]), partial(commands.give_file, name)) for name, own in commands.FILES.items()},
    **{
        f"words to {name}": Reader(("words",), partial(commands.give_words, name))
        for name in corpus("commands")["words"]
    },
}
