"""Run a node as the host does, with what it hides in the inputs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any


def with_hidden(node: Any, hidden: Mapping[Any, Any]) -> Any:
    """Return the clone of a node class that the host executes. Newer hosts hand over more than the hidden inputs."""
    (name,) = inspect.signature(node.PREPARE_CLASS_CLONE).parameters
    return node.PREPARE_CLASS_CLONE(hidden if name == "hidden_inputs" else {"hidden_inputs": hidden})
