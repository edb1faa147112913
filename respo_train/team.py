"""Several processes that train one module together, on PyTorch's own distributed engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.distributed
from torch import Tensor

from .core.errors import RespoError


@dataclass(frozen=True)
class Team:
    """This process is number `rank` of `size`; number 0 alone writes files."""

    rank: int = 0
    size: int = 1

    def rows(self, batch: int) -> range:
        """Return which rows of a batch are this process's. Raises RespoError when they cannot be shared evenly."""
        if batch % self.size:
            raise RespoError(
                f"expected a batch that {self.size} processes can share evenly, found {batch}; "
                f"use {self.size * (batch // self.size + 1)} or another --nproc_per_node"
            )
        return range(self.rank, batch, self.size)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes, in place."""
        if self.size == 1:
            return
        for tensor in tensors:
            torch.distributed.all_reduce(tensor)
            tensor /= self.size


ALONE = Team()
