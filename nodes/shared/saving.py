"""Writing a module into the model folder, for the nodes that make one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, get_args

from comfy_api.latest import io

from ...respo_train.core.errors import RespoError
from ...respo_train.core.files.checkpoint import from_bytes, to_bytes, write_atomically
from ...respo_train.core.module.attribute import Attribute
from .folders import place_for
from .wire import LoadedModule

Existing = Literal["refuse", "overwrite"]
EXISTING: tuple[Existing, ...] = get_args(Existing)


def existing_input() -> io.Combo.Input:
    """What becomes of another module under the same name."""
    return io.Combo.Input(
        "existing",
        options=list(EXISTING),
        default=EXISTING[0],
        tooltip="What to do when another module already has this name. refuse: leave it alone and stop. overwrite: "
        "replace it.",
    )


def check_place(name: str | None) -> bool | str:
    """True, or what is wrong with a name to write under."""
    try:
        if name is not None:
            place_for(str(name))
    except RespoError as error:
        return str(error)
    return True


def save(attribute: Attribute, name: str, existing: Existing) -> tuple[LoadedModule, str]:
    """Write a module under `name` into the model folder; return it, and a line that says so. Raises RespoError."""
    path, listed = place_for(name)
    data = to_bytes(attribute)
    from_bytes(data, listed)  # what is written can be read again, whatever a workflow has put into it
    written = _write(path, data, replace=existing == "overwrite")
    saved = LoadedModule(attribute, listed, hashlib.sha256(data).hexdigest())
    return saved, f"Saved as {listed}" if written else f"{listed} holds this very module already"


def _write(path: Path, data: bytes, replace: bool) -> bool:
    """Write unless these bytes are there already; return whether it was needed. Raises RespoError."""
    try:
        if path.exists():
            if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
                return False
            if not replace:
                raise RespoError(
                    f"{path.name} is there already and holds another module. Choose another name, or set existing to "
                    "overwrite."
                )
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RespoError(f"cannot write {path}: {error.strerror or error}. Choose another name.") from error
    write_atomically(path, data)
    return True
