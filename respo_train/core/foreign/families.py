"""The file layouts of the released projects, as plain data, and how to recognise them.

RespoDiff (arXiv 2509.15257), SDisc (InterpretDiffusion, CVPR 2024), Learning Where It Matters (TMLR 2026).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import ModuleFileError, RespoError
from ..module.architecture import Architecture

CHANNELS = 1280  # of h in SD 1.x, 2.x and SDXL, the only models that the three layouts are for
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Base:
    """The kind of checkpoint that a file was trained on. The released files do not say which one it was."""

    name: str
    architecture: Architecture


BASES = {
    "sd15": Base("Stable Diffusion 1.4", Architecture("sd1", 320, 768, 0, CHANNELS)),
    "sdxl": Base("Stable Diffusion XL", Architecture("sdxl", 320, 2048, 2816, CHANNELS)),
}


@dataclass(frozen=True)
class Family:
    """One layout: the keys of its matrices, where its concepts lie in them, and how the project's code applies them.

    `rows`: whether a concept is a row `[1280]`; else it is a column `[1280 * S * S]`. `count`: the number of concepts
    in the released files. `concepts`: their indices when no list is given. `half`, `strength`: the half of guidance
    that the project's code adds a concept to, and the factor. `base`: a key of BASES. `away`: what a concept that is
    trained to keep something out keeps out.
    """

    key: str
    title: str
    responsible: str
    semantic: str | None
    rows: bool
    count: int
    concepts: Mapping[str, int]
    half: Literal["cond", "both"]
    strength: float
    base: str
    away: Mapping[str, str]

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys of all its matrices."""
        return (self.responsible,) if self.semantic is None else (self.responsible, self.semantic)

    def column(self, matrix: Tensor, index: int) -> Tensor:
        """Return the numbers of one concept in file order, `[n]`."""
        return matrix[index] if self.rows else matrix[:, index]

    def size(self, matrix: Tensor) -> int:
        """Return S, the height and width of the grids. Raises ModuleFileError when the matrix's shape does not fit."""
        length = (matrix.shape[1] if self.rows else matrix.shape[0]) if matrix.ndim == 2 and matrix.numel() else 0
        size = math.isqrt(length // CHANNELS)
        if not length or size * size * CHANNELS != length or (self.rows and size != 1):
            wanted = f"[concepts, {CHANNELS}]" if self.rows else f"[{CHANNELS} * S * S, concepts] with a whole number S"
            raise ModuleFileError(f"expected a matrix {wanted} for {self.title}, found {list(matrix.shape)}.")
        return size

    def places(self, matrix: Tensor) -> int:
        """Return how many concepts the matrix has room for."""
        return matrix.shape[0] if self.rows else matrix.shape[1]


_FC1, _FC2 = "controlnet.fc1.weight", "controlnet_residual.fc2.weight"
_RESPODIFF = {"a woman": 0, "a man": 1, "young": 2, "old": 3, "a white-race person": 3, "a black-race person": 4}
_RESPODIFF |= {"a Asian-race person": 5, "sexual": 6, "violence": 7}
_SDISC = {"female": 0, "male": 1, "young": 2, "old": 3, "whiterace": 4, "blackrace": 5, "asianrace": 6, "antisexual": 7}
_LOCALISED = {"female": 0, "male": 1, "young": 2, "old": 3, "white-race": 4, "black-race": 5, "anti-sexual": 6}
_LOCALISED |= {"smile": 7, "jump": 8}
_SAFE = {"sexual": "sexual", "violence": "violence"}
_NOT_SEXUAL = {"antisexual": "sexual", "anti-sexual": "sexual"}
# Put before all keys by code that saves a wrapped network.
PREFIXES = ("module.", "concept_module.")
FAMILIES = {
    "respodiff": Family("respodiff", "RespoDiff", _FC1, _FC2, False, 10, _RESPODIFF, "cond", 1.0, "sd15", _SAFE),
    "sdisc": Family("sdisc", "SDisc", _FC1, None, False, 8, _SDISC, "cond", 1.0, "sd15", _NOT_SEXUAL),
    "where": Family(
        "where",
        "Learning Where It Matters",
        "concept_emb",
        None,
        True,
        100,
        _LOCALISED,
        "both",
        2.0,
        "sdxl",
        _NOT_SEXUAL,
    ),
}


def without_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same tensors; where all keys begin with one of PREFIXES, it is left out, however often it is there."""
    found = dict(tensors)
    while found and (common := [own for own in PREFIXES if all(key.startswith(own) for key in found)]):
        found = {key.removeprefix(common[0]): tensor for key, tensor in found.items()}
    return found


def family_of(tensors: Mapping[str, Tensor]) -> Family:
    """Recognise a file's layout by its keys, and check its matrices. Raises ModuleFileError."""
    found = next((family for family in FAMILIES.values() if set(family.keys) == set(tensors)), None)
    if found is None:
        wanted = "; ".join(f"{' and '.join(family.keys)} ({family.title})" for family in FAMILIES.values())
        listed = ", ".join(f"{key[:80]!r} {list(tensor.shape)}" for key, tensor in list(tensors.items())[:8])
        raise ModuleFileError(f"expected the tensors {wanted}; found {listed or 'none'}. Is it another project's file?")
    matrices = [tensors[key] for key in found.keys]
    for key, matrix in zip(found.keys, matrices, strict=True):
        if matrix.dtype not in DTYPES:
            raise ModuleFileError(f"expected 32- or 16-bit floating-point numbers in {key!r}, found {matrix.dtype}.")
        found.size(matrix)
        _require_finite(found, key, matrix)
    if len({(matrix.shape, matrix.dtype) for matrix in matrices}) > 1:
        shapes = " and ".join(f"{list(matrix.shape)} {matrix.dtype}" for matrix in matrices)
        raise ModuleFileError(f"expected two matrices of one shape and kind for {found.title}, found {shapes}.")
    return found


def _require_finite(family: Family, key: str, matrix: Tensor) -> None:
    bad = (~torch.isfinite(matrix)).any(1 if family.rows else 0).nonzero().flatten().tolist()
    if bad:
        numbers = ", ".join(map(str, bad[:10]))
        raise ModuleFileError(f"found NaN or infinite numbers in {key!r}, concept {numbers}. Get or train it again.")


def family_named(key: str) -> Family:
    """Return a layout by its key. Raises RespoError, which lists the known ones."""
    if key not in FAMILIES:
        raise RespoError(f"expected the format {', '.join(FAMILIES)}, found {str(key)[:80]!r}.")
    return FAMILIES[key]


def base_named(key: str) -> Base:
    """Return a kind of checkpoint by its key. Raises RespoError, which lists the known ones."""
    if key not in BASES:
        raise RespoError(f"expected the base {' or '.join(BASES)}, found {str(key)[:80]!r}.")
    return BASES[key]
