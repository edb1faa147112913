"""Respo's trainer, and the core that the trainer and the nodes share."""

from .core.version import __version__

__all__ = ["__version__"]
