"""Respo's version. It is here because both the nodes and the trainer write it into their files."""

__version__ = "0.1.0"
