"""Respo's trainer and the core that trainer and nodes share."""

__version__ = "0.1.0"
