"""Random numbers that depend only on a key, so there is no generator state to save."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def generator_of(*key: object) -> torch.Generator:
    """Return a generator whose numbers depend only on `key`, whatever was drawn before."""
    digest = hashlib.blake2b(" ".join(map(str, key)).encode(), digest_size=8).digest()
    # On the CPU, so the numbers are the same for every training device.
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def keyed_noise(shape: tuple[int, ...], *key: object) -> Tensor:
    """Return standard normal noise that depends only on `key`: float32, on the CPU."""
    return torch.randn(shape, generator=generator_of(*key))
