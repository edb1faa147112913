"""Recognise that memory has run out, whoever says so: a GPU's allocator, the processor's, or Python."""

from __future__ import annotations

import torch

from .core.errors import RespoError

# Parts of messages of errors that are no more than a RuntimeError: allocators of processors, MPS, and CUDA's libraries.
_SAYS = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


class OutOfMemory(RespoError):
    """A training step did not fit into memory. The state is that of the last complete step."""


def ran_out(error: BaseException) -> bool:
    """Return whether `error` means that there is too little memory."""
    if isinstance(error, OutOfMemory | MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _SAYS)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, cut short; without one, its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120].rstrip(". ")
