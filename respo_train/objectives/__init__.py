"""The training objectives: each file here with an `OBJECTIVE` is one. They share the loop in `trainer.py`."""

from __future__ import annotations

import importlib
import pkgutil

from .objective import Objective

_FILES = [importlib.import_module(f".{file.name}", __name__) for file in pkgutil.iter_modules(__path__)]
_FOUND: list[Objective] = [file.OBJECTIVE for file in _FILES if hasattr(file, "OBJECTIVE")]
OBJECTIVES = {one.name: one for one in sorted(_FOUND, key=lambda one: one.name)}
