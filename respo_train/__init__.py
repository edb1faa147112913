"""Respo's trainer and the core that trainer and nodes share."""

from .core.version import __version__

__all__ = ["__version__"]
