"""Packages that only one judge needs, and the message when one is missing."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from ..core.errors import RespoError


def require(module: str, package: str, judge: str) -> ModuleType:
    """Import `module`. Raises RespoError, which says how to install `package` or why it does not load."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise RespoError(
            f"the judge {judge} needs the Python package {package!r} ({error}). Install it into ComfyUI's Python with "
            f'pip install "{package}" and start ComfyUI again, or choose another judge.'
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise RespoError(
            f"the package {package!r} of the judge {judge} is installed but does not load: {error}"
        ) from error


def release(package: str) -> str:
    """Return the first two parts of a package's version, "" when it is unknown."""
    try:
        return ".".join(version(package).split(".")[:2])
    except PackageNotFoundError:
        return ""
