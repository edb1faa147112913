"""Reports on a training run: previews, measured effects, the loss plot, and one page at the end."""

from .watcher import Report

__all__ = ["Report"]
