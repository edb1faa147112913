"""Files of exactly the shapes and keys that the papers released, with numbers of our own.

The released files themselves cannot be had here: what is known of them is their shapes, keys, and how large trained
columns are. Untrained places start as PyTorch starts them, trained ones were moved from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

FC1, FC2 = "controlnet.fc1.weight", "controlnet_residual.fc2.weight"


def linear(trained: Sequence[int], columns: int = 10, rows: int = 81_920, moved: float = 2.0, seed: int = 0) -> Tensor:
    """`nn.Linear(columns, rows).weight`, of which training has moved some columns by `moved` (a standard deviation)."""
    generator = torch.Generator().manual_seed(seed)
    bound = columns**-0.5
    matrix = torch.rand(rows, columns, generator=generator) * 2 * bound - bound
    for column in trained:
        matrix[:, column] += moved * torch.randn(rows, generator=generator)
    return matrix


def respodiff(path: Path, trained: Sequence[int] = (0,), semantic: Sequence[int] | None = None) -> dict[str, Tensor]:
    """RespoDiff's `unet.pth`; the semantic part hardly moves (its learning rate is 1e-4)."""
    tensors = {FC1: linear(trained)}
    tensors[FC2] = linear(trained if semantic is None else semantic, moved=0.01, seed=1)
    torch.save(tensors, path)
    return tensors


def sdisc(path: Path, trained: Sequence[int] = range(8), columns: int = 8, rows: int = 81_920) -> dict[str, Tensor]:
    """SDisc's `unet.pth`, as a state_dict of modules: with PyTorch's own notes beside the tensors."""
    network = nn.Module()
    network.controlnet = nn.Module()
    network.controlnet.fc1 = nn.Linear(columns, rows, bias=False)
    network.controlnet.fc1.weight.data = linear(trained, columns, rows)
    torch.save(network.state_dict(), path)
    return {FC1: network.controlnet.fc1.weight.detach()}


def where(path: Path, trained: Sequence[int] = (0, 1), decay: float = 0.37) -> dict[str, Tensor]:
    """Learning Where It Matters' `concept_*.pt`: a Parameter; weight decay has shrunk what was not trained."""
    generator = torch.Generator().manual_seed(0)
    rows = decay * torch.randn(100, 1280, generator=generator)
    for row in trained:
        rows[row] += 1.5 * torch.randn(1280, generator=generator)
    torch.save({"concept_emb": nn.Parameter(rows)}, path)
    return {"concept_emb": rows}
