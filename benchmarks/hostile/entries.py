"""Every way in for a file: who reads it, and what kinds of files it is tried with. A new reader is one more line.

tests/core/test_hostile_files.py finds whatever reads files and is not reached from here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.comfy_server import require_host
from emoji_world.__main__ import JUDGE, SEGMENTER
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
from respo_train.settings.preset_files import PRESETS, read_config
from respo_train.trainer import ConceptState, TrainState

from . import commands
from .archive_files import ARCHIVES, good_archives
from .explore import CORPUS
from .right_file import check_archive, check_concepts, check_inside, check_module, check_size, check_state
from .spoil import BYTES, JSON, MODULES, TENSORS, TEXT, Way, inside_text

ROOT = Path(__file__).resolve().parents[2]
GOOD_ARCHIVE = "good.pth"  # beside the folder with the hostile file
_SIGNATURE, _RUN = "signature", "run"  # of the corpus' files


@dataclass(frozen=True)
class Kind:
    """`name`: of the file; `good`: returns files with nothing wrong; `share`: how many of all files, in parts."""

    name: str
    good: Callable[[], tuple[bytes, ...]]
    ways: tuple[Way, ...]
    share: int = 1


@dataclass(frozen=True)
class Entry:
    """`kinds`: what it is tried with; `check`: raises AssertionError for what was read wrongly.

    `memory`: the bytes that it may take beside six times the file's size.
    """

    kinds: tuple[str, ...]
    read: Callable[[Path], Any]
    check: Callable[[Path, Any], None] | None = None
    memory: int = 2**28


_WAYS: dict[str, tuple[Way, ...]] = {".json": JSON, ".txt": TEXT, ".safetensors": TENSORS}


def _of_corpus(kind: str) -> Callable[[], tuple[bytes, ...]]:
    return lambda: tuple(path.read_bytes() for path in sorted((CORPUS / "files" / kind).iterdir()))


def _of(path: Path) -> Callable[[], tuple[bytes, ...]]:
    return lambda: (path.read_bytes(),)


_CLIP = CORPUS / "clip"  # a folder with a tiny model
_OF_CLIP = {path.name: _WAYS[path.suffix] for path in sorted(_CLIP.iterdir())}
# The modules are every kind of grid, a map of h, words and a probe or none, float and half; the last has SD 1.5's size.
KINDS = {
    "module": Kind("case.safetensors", _of_corpus("module"), MODULES, 8),
    "archive": Kind("case.pth", good_archives, ARCHIVES, 8),
    "weights": Kind("case.pth", good_archives, ARCHIVES),
    "module text": Kind("case.txt", _of_corpus("module_text"), (inside_text, inside_text, *TEXT)),
    "judge": Kind("case.judge", _of(JUDGE), TENSORS),
    "segmenter": Kind("case.segmenter", _of(SEGMENTER), TENSORS),
    "preset": Kind("case.toml", _of(PRESETS / "gender.toml"), TEXT),
    "state": Kind("case.respo", _of_corpus("state"), TENSORS),
    "latents": Kind("case.latents", _of_corpus("latents"), TENSORS),
    "total": Kind("case.total", _of_corpus("total"), JSON),
    "effects": Kind("effects.json", _of_corpus("effects"), JSON),
    "cell": Kind("case.json", _of_corpus("cell"), JSON),
    **{f"CLIP's {name}": Kind(name, _of(_CLIP / name), ways) for name, ways in _OF_CLIP.items()},
    "concepts": Kind("case.concepts", _of_corpus("concepts"), JSON),
    "judge prompts": Kind("case.ini", _of_corpus("judge_prompts"), TEXT),
    "prompts": Kind("case.csv", _of_corpus("prompts"), TEXT),
    "pictures": Kind("case.npy", _of_corpus("pictures"), BYTES),
    "picture": Kind("case.png", _of_corpus("picture"), BYTES),
    "sheet": Kind("sheet.png", _of_corpus("sheet"), BYTES),
}
KINDS["words"] = Kind("case.words", _of_corpus("words"), TEXT)  # to a command, one a line
BOTH = ("module", "archive")


class _Latents:
    """Stands for an objective's source of latents."""

    def __init__(self) -> None:
        self.found, self.places = torch.zeros(2, 4), [0, 0]

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"latents": self.found}

    def numbers(self) -> dict[str, Any]:
        return {"places": self.places}

    def restore(self, tensors: Any, numbers: Any) -> None:
        self.found, self.places = tensors["latents"], numbers["places"]


def _restored(path: Path) -> TrainState:
    module = ConceptModule(6, 4, 5)
    optimizers: dict[str, torch.optim.Optimizer] = {
        key: torch.optim.Adam(part.parameters()) for key, part in module.named_children()
    }
    state = TrainState(0, {"woman": ConceptState(module, optimizers, _Latents(), [])})
    restore_state(path, state)
    return state


def _imported(path: Path) -> Imported:
    listed = parse_concepts(read_text(path, "the list of concepts"))
    return read_file(path.parents[1] / GOOD_ARCHIVE, listed)


def _load_module(path: Path) -> None:
    """Run the node as the host does: ask whether the input is valid, then whether it has changed, then execute."""
    node = _host()["RespoLoadModule"]
    _require_valid(node.validate_inputs(module=path.name))
    node.fingerprint_inputs(module=path.name)
    node.execute(module=path.name)


def _import_module(path: Path) -> None:
    """Run the node in the same way, and remove the module that it has saved."""
    node = _host()["RespoImportModule"]
    _require_valid(node.validate_inputs(file=path.name, concepts="", name="imported"))
    node.fingerprint_inputs(file=path.name)
    node.execute(file=path.name, only="", concepts="", base="as published", name="imported", existing="refuse")
    path.with_name("imported.safetensors").unlink()


def _judged(path: Path) -> None:
    """Let a CLIP judge look at a picture, with this file in the place of one of its own."""
    with tempfile.TemporaryDirectory() as made:
        folder = shutil.copytree(_CLIP, Path(made) / "clip")
        (folder / path.name).unlink()
        put = os.link if path.is_file() and not path.is_symlink() else os.symlink
        put(path, folder / path.name)
        if path.name == "tokenizer.json":  # else it is not looked at
            (folder / "vocab.json").unlink()
        ClipJudge(folder).verdicts(torch.zeros(1, 3, 8, 9))


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


ENTRIES: Mapping[str, Entry] = {
    "reader": Entry(BOTH, load_attribute, check_module),
    "metadata": Entry(BOTH, read_metadata, check_size),
    "importer": Entry(BOTH, read_file, check_archive),
    "load node": Entry(BOTH, _load_module, check_inside),
    "import node": Entry(BOTH, _import_module, check_inside),
    "safety node": Entry(("module",), lambda path: _shared("safety_concepts")._concepts_of(path.name)),
    "Inception's weights": Entry(("weights",), inception._refuse_code),
    "module in a text": Entry(("module text",), lambda path: from_text(read_text(path, "the module")), memory=2**26),
    "judge": Entry(("judge", "module"), load_judge),
    "segmenter": Entry(("segmenter", "module"), load_segmenter),
    "training state": Entry(("state", "module"), _restored, check_state),
    "latents kept": Entry(("latents",), lambda path: pictures._read(path, _SIGNATURE)),
    "running total": Entry(("total",), _running_total),
    "effects": Entry(("effects",), lambda path: Report._effects(_stand_in(_folder=path.parent, _key=_RUN))),
    "cell": Entry(("cell",), lambda path: cells.Store(path.parent).state(_stand_in(key=path.stem, about={}))),
    "CLIP's folder": Entry(tuple(f"CLIP's {name}" for name in _OF_CLIP), _judged),
    "list of concepts": Entry(("concepts",), _imported, check_concepts),
    "judge's prompts": Entry(("judge prompts",), lambda path: parse_prompts(read_text(path, "the prompts"))),
    "preset": Entry(("preset",), lambda path: read_config(str(path))),
    "I2P's prompts": Entry(("prompts",), lambda path: i2p.read_prompts(path, 1, 0)),
    "real pictures": Entry(("pictures",), real._read_array),
    "real picture": Entry(("picture", "sheet"), lambda path: real._picture(path, (8, 8))),
    "audited picture": Entry(("picture", "sheet"), read_picture),
    "sheet": Entry(("sheet", "picture"), Sheet.load),
    **{name: Entry(own[0], commands.given_file(name, GOOD_ARCHIVE)) for name, own in commands.FILES.items()},
    **{f"words to {name}": Entry(("words",), read) for name, read in commands.given_words().items()},
}


def _require_valid(answer: bool | str) -> None:
    if answer is not True:
        raise ModuleFileError(str(answer))


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
