"""The node pack's nodes, one or two classes in each file of this folder. Registration reads the list `NODES`."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from comfy_api.latest import io


def nodes_in(module: ModuleType) -> list[type[io.ComfyNode]]:
    """Return the node classes that a file defines, in its order, without those that it imports."""
    return [
        found
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, io.ComfyNode) and found.__module__ == module.__name__
    ]


# Each file here defines nodes; the code that they share is in the folders. So a new file is enough to add a node.
FILES = [
    importlib.import_module(f".{file.name}", __name__) for file in pkgutil.iter_modules(__path__) if not file.ispkg
]
NODES = [node for file in FILES for node in nodes_in(file)]
