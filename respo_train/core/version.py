"""Respo's version, here because both sides write it into what they make."""

__version__ = "0.1.0"
