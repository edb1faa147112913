"""Several processes that train one module together, on torch.distributed."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch.distributed

# Imported now: its functions bind the current process group as a default argument. Imported later (an optimizer does
# so), they would keep the group and its threads alive for good, and a process that ends with these threads can crash.
import torch.distributed.nn
from torch import Tensor

from .core.errors import Remedy, RespoError
from .memory import first_line

# Long, because the others wait while process 0 draws previews. A process that has ended is noticed at once.
_PATIENCE = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Team:
    """The processes of a run: this one is number `rank` of `size`, and only number 0 writes files.

    All processes must call every method except `rows` together. The methods raise RespoError when a process has ended.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def rows(self, batch: int) -> range:
        """Return this process's rows of a batch. Raises RespoError when the batch does not divide evenly."""
        if batch % self.size:
            raise RespoError(
                f"expected a batch that {self.size} processes can share evenly, found {batch}",
                Remedy("batch", self.size * (batch // self.size + 1)),
                Remedy("processes", "another number"),
            )
        return range(self.rank, batch, self.size)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes, in place."""
        if self.size == 1:
            return
        with self._contact():
            for tensor in tensors:
                torch.distributed.all_reduce(tensor)
                tensor /= self.size

    def agree(self, wish: bool) -> bool:
        """Return whether `wish` is true in any process; all processes get the same answer."""
        if self.size == 1:
            return wish
        votes = torch.tensor([int(wish)])
        with self._contact():
            torch.distributed.all_reduce(votes)
        return bool(votes.item())

    def gather_rows(self, own: Tensor) -> Tensor:
        """Return all rows in the batch's order, `[B, ...]` on the CPU, from each process's `[B / size, ...]`.

        Row i of process r is row i * size + r of the batch, see `rows`.
        """
        own = own.detach().cpu().contiguous()
        if self.size == 1:
            return own.clone()
        parts = [torch.empty_like(own) for _ in range(self.size)]
        with self._contact():
            torch.distributed.all_gather(parts, own)
        return torch.stack(parts, dim=1).flatten(0, 1)

    def gather_lists(self, own: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Do the same as `gather_rows` for lists with one entry per row."""
        parts: list[Any] = [own] * self.size
        if self.size > 1:
            with self._contact():
                torch.distributed.all_gather_object(parts, dict(own))
        return {key: list(chain.from_iterable(zip(*(part[key] for part in parts), strict=True))) for key in own}

    @contextmanager
    def _contact(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise RespoError(
                f"process {self.rank} of {self.size} lost the others ({first_line(error)}). One of them has ended: "
                "see its output. What was saved last is intact."
            ) from error


ALONE = Team()


def join_team() -> Team:
    """Join the processes that torchrun started, each with its own GPU if there are GPUs; without torchrun return ALONE.

    Raises RespoError when there are fewer GPUs than processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        return ALONE
    backend = "gloo"  # the only one on Windows
    if torch.cuda.is_available():
        own, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if own >= there:
            raise RespoError(f"expected a GPU for each process, found {there}", Remedy("processes", there))
        torch.cuda.set_device(own)
        if torch.distributed.is_nccl_available():
            backend = "cpu:gloo,cuda:nccl"
    torch.distributed.init_process_group(backend, timeout=_PATIENCE)
    return Team(torch.distributed.get_rank(), size)


def leave_team() -> None:
    """Undo `join_team`, when all processes are done."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
