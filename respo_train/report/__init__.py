"""What a run shows of itself: previews, figures of effect, the loss plot, and one page at the end."""

from .watcher import Report

__all__ = ["Report"]
