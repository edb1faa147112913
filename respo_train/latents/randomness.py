"""Random numbers that depend on a key alone, so that no generator has a state to save."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def generator_of(*key: object) -> torch.Generator:
    """Return a generator whose numbers depend on `key` alone, whatever was drawn before."""
    digest = hashlib.blake2b(" ".join(map(str, key)).encode(), digest_size=8).digest()
    # On the CPU: the same numbers whatever device trains.
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def keyed_noise(shape: tuple[int, ...], *key: object) -> Tensor:
    """Return standard noise that depends on `key` alone, float32, on the CPU."""
    return torch.randn(shape, generator=generator_of(*key))
