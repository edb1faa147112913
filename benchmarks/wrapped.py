"""A network in front of another one, for benchmarks that listen to it or change what goes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from respo_train.network import SplitNetwork


@dataclass
class Wrapped:
    """A network in front of another one: what it does not do itself, that one does."""

    unet: SplitNetwork

    def __getattr__(self, name: str) -> Any:
        """Everything else is the U-Net's."""
        return getattr(self.unet, name)
