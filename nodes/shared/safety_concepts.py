"""Which safety concepts are there: what ships with the pack, and what the user has put into the `respo` folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...respo_train.core.errors import ModuleFileError, RespoError
from ...respo_train.core.files.checkpoint import read_metadata
from ...respo_train.core.module.attribute import check_name
from .folders import module_names, resolve

SHIPPED = ("emoji_world_no_weapons.safetensors",)  # in this order for ever; a new one goes to the end


@dataclass(frozen=True)
class SafetyConcept:
    """One concept of one file. `base`: the checkpoint that it was made on."""

    file: str
    concept: str
    base: str

    @property
    def switch(self) -> str:
        """The id of its switch: a workflow that asks for it says by this which file it needs."""
        return f"{self.concept} ({self.file})"


def safety_concepts() -> list[SafetyConcept]:
    """Return the shipped concepts in their order, then the others by the names of their files.

    Files that cannot be read are left out, with a line in the log.
    """
    names = {name.replace("\\", "/") for name in module_names()}
    ordered = [*(name for name in SHIPPED if name in names), *sorted(names - set(SHIPPED))]
    return [found for name in ordered for found in _concepts_of(name)]


def _concepts_of(name: str) -> tuple[SafetyConcept, ...]:
    try:
        path = resolve(name)
        stamp = path.stat()
    except (RespoError, OSError):  # a link out of the folder, or gone by now: Load Module explains it
        return ()
    return _read(name, path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=1024)
def _read(name: str, path: Path, _changed: int, _size: int) -> tuple[SafetyConcept, ...]:
    """Read a file's safety concepts from its header alone; once for each version of it, so one line in the log."""
    try:
        metadata = read_metadata(path)
        concepts, base = metadata["concepts"], metadata["base"]
        if not isinstance(concepts, list) or not isinstance(base, dict):
            raise ModuleFileError(f"expected a list of concepts and what they were made on, found {str(concepts)[:80]}")
        for concept in concepts:
            check_name("concept", concept)
    except RespoError as error:
        logging.warning("Respo: the node Safety leaves out %s: %s", name, error)
        return ()
    if metadata["purpose"] != "safety":
        return ()
    made_on = str(base.get("name", "an unnamed checkpoint"))[:100]
    return tuple(SafetyConcept(name, concept, made_on) for concept in concepts)
