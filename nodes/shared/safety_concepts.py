"""The available safety concepts: those that ship with the pack and those in the user's `respo` folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...respo_train.core.errors import ModuleFileError, RespoError
from ...respo_train.core.files.checkpoint import read_metadata
from ...respo_train.core.module.attribute import check_name, direction_of
from ...respo_train.core.shown import one_line
from .folders import module_names, resolve

SHIPPED = ("emoji_world_no_weapons.safetensors",)  # this order must not change; append new ones


@dataclass(frozen=True)
class SafetyConcept:
    """One concept of one file. `base`: the checkpoint that it was made on; `direction`: see `direction_of`."""

    file: str
    concept: str
    base: str
    direction: str

    @property
    def switch(self) -> str:
        """The id of its switch. It contains the file's name, so a workflow tells which file it needs."""
        return f"{self.concept} ({self.file})"


def safety_concepts() -> list[SafetyConcept]:
    """Return the shipped concepts in their fixed order, then the others sorted by file name.

    Unreadable files are left out, with a warning in the log.
    """
    names = {name.replace("\\", "/") for name in module_names()}
    ordered = [*(name for name in SHIPPED if name in names), *sorted(names - set(SHIPPED))]
    return [found for name in ordered for found in _concepts_of(name)]


def _concepts_of(name: str) -> tuple[SafetyConcept, ...]:
    try:
        path = resolve(name)
        stamp = path.stat()
    except (RespoError, OSError):  # a link out of the folder, or just deleted: Load Module explains it
        return ()
    return _read(name, path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=2**16)  # more than anybody has files: a smaller one would be of no use to a list that is longer
def _read(name: str, path: Path, _changed: int, _size: int) -> tuple[SafetyConcept, ...]:
    """Read the safety concepts from a file's header. Cached per version of the file, so it is logged once."""
    try:
        metadata = read_metadata(path)
        concepts, base, training = metadata["concepts"], metadata["base"], metadata["training"]
        if not isinstance(concepts, list) or not isinstance(base, dict) or not isinstance(training, dict):
            raise ModuleFileError(f"expected a list of concepts and what they were made on, found {str(concepts)[:80]}")
        for concept in concepts:
            check_name("concept", concept)
    except RespoError as error:
        logging.warning("Respo: the node Safety leaves out %s: %s", name, error)
        return ()
    if metadata["purpose"] != "safety":
        return ()
    made_on = one_line(base.get("name", "an unnamed checkpoint"), 100)
    return tuple(SafetyConcept(name, concept, made_on, direction_of(concept, training)) for concept in concepts)
