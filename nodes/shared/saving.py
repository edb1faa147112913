"""Save a module to the model folder, for the nodes that make one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal, get_args

from comfy_api.latest import io

from ...respo_train.core.errors import RespoError
from ...respo_train.core.files.checkpoint import to_bytes
from ...respo_train.core.files.header import opened
from ...respo_train.core.files.write import make_folder, write_atomically
from ...respo_train.core.module.attribute import Attribute
from . import widgets
from .folders import place_for
from .wire import LoadedModule

Existing = Literal["refuse", "overwrite"]
EXISTING: tuple[Existing, ...] = get_args(Existing)


def existing_input() -> io.Combo.Input:
    """Return the choice between refusing and overwriting a file that already exists."""
    return widgets.choice(
        "existing",
        EXISTING,
        "What to do when another module already has this name. refuse: leave it alone and stop. overwrite: replace it.",
    )


def save(attribute: Attribute, name: str, existing: Existing) -> tuple[LoadedModule, str]:
    """Save a module under `name` in the model folder; return it and a line that says so. Raises RespoError."""
    path, listed = place_for(name)
    data = to_bytes(attribute)
    written = _write(path, data, replace=existing == "overwrite")
    saved = LoadedModule(attribute, listed, hashlib.sha256(data).hexdigest())
    return saved, f"Saved as {listed}" if written else f"{listed} already holds exactly this module"


def _write(path: Path, data: bytes, replace: bool) -> bool:
    """Write `data` unless the file holds it already; return whether it was written. Raises RespoError."""
    try:
        if os.path.lexists(path):
            if path.is_file() and path.stat().st_size == len(data):
                with opened(path) as file:
                    if file.read() == data:
                        return False
            if not replace:
                raise RespoError(
                    f"{path.name} already exists and holds a different module. Choose another name, or set existing to "
                    "overwrite."
                )
    except OSError as error:
        raise RespoError(f"cannot write {path}: {error.strerror or error}. Choose another name.") from error
    make_folder(path.parent)
    try:
        write_atomically(path, data, new=not replace)
    except FileExistsError:
        return _write(path, data, replace)  # another process has written it meanwhile
    return True
