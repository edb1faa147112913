"""One learned tensor in the space of h: a full grid, a low-rank grid, or one number per channel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RespoError

KINDS = ("grid", "low_rank", "channel")


class Grid(nn.Module):
    """A learned float32 tensor `[C, H, W]` that starts at zero.

    Kind "grid" stores all of it, "low_rank" its factors `[C, r]` and `[r, H, W]`, "channel" a vector `[C, 1, 1]`. Of
    the two factors only `channels` starts at zero: if both did, neither would ever get a gradient.
    """

    def __init__(self, channels: int, height: int, width: int, kind: str = "grid", rank: int | None = None):
        """Start at zero.

        Raises RespoError for sizes below 1, an unknown kind, a missing rank, or a rank for a kind without one.
        """
        super().__init__()
        _check(channels, height, width, kind, rank)
        self.kind = kind
        if kind == "low_rank":
            assert rank is not None  # `_check` guarantees it
            # std 1/sqrt(r): one optimizer step moves the product about as far as it would move a full grid.
            generator = torch.Generator().manual_seed(0)
            self.channels = nn.Parameter(torch.zeros(channels, rank))
            self.space = nn.Parameter(torch.randn(rank, height, width, generator=generator) / rank**0.5)
        else:
            height, width = (1, 1) if kind == "channel" else (height, width)
            self.full = nn.Parameter(torch.zeros(channels, height, width))

    @classmethod
    def from_tensors(cls, *tensors: Tensor) -> Grid:
        """Build from a stored `[C, H, W]` tensor or from factors `[C, r]`, `[r, H, W]`; values are copied to float32.

        Raises RespoError for other shapes.
        """
        shapes = [tuple(t.shape) for t in tensors]
        if len(shapes) == 1 and len(shapes[0]) == 3:
            channels, height, width = shapes[0]
            grid = cls(channels, height, width, "channel" if height == width == 1 else "grid")
        elif [len(s) for s in shapes] == [2, 3] and shapes[0][1] == shapes[1][0]:
            (channels, rank), (_, height, width) = shapes
            grid = cls(channels, height, width, "low_rank", rank)
        else:
            raise RespoError(f"expected one tensor [C, H, W] or two factors [C, r] and [r, H, W], found {shapes}")
        with torch.no_grad():
            for parameter, tensor in zip(grid.parameters(), tensors, strict=True):
                parameter.copy_(tensor)
        return grid

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of the whole tensor, known without multiplying the factors."""
        last = self.space if self.kind == "low_rank" else self.full
        first = self.channels if self.kind == "low_rank" else self.full
        return first.shape[0], last.shape[1], last.shape[2]

    def value(self) -> Tensor:
        """Return the whole tensor, `[C, H, W]`."""
        return torch.einsum("cr,rhw->chw", self.channels, self.space) if self.kind == "low_rank" else self.full

    def resized(self, height: int, width: int) -> Tensor:
        """Return `[C, height, width]`: exactly `value()` when the size matches; broadcast for "channel"."""
        return resize(self.value(), height, width)


def resize(value: Tensor, height: int, width: int) -> Tensor:
    """Resize `[C, H, W]`: area average along an axis that shrinks, bilinear along one that grows, exact otherwise."""
    return resize_pictures(value[None], height, width)[0]


def resize_pictures(value: Tensor, height: int, width: int) -> Tensor:
    """Resize `[B, C, H, W]` as `resize` does."""
    if value.shape[2:] == (1, 1):
        return value.expand(-1, -1, height, width)
    smaller = (min(height, value.shape[2]), min(width, value.shape[3]))
    if value.shape[2:] != smaller:
        value = _area(value, smaller)
    if value.shape[2:] != (height, width):
        value = F.interpolate(value, size=(height, width), mode="bilinear", align_corners=False)
    return value


def _area(value: Tensor, size: tuple[int, int]) -> Tensor:
    divides = value.shape[2] % size[0] == 0 and value.shape[3] % size[1] == 0
    if value.device.type == "mps" and not divides:  # PyTorch has no kernel for it there
        return area_by_products(value, size)
    return F.interpolate(value, size=size, mode="area")


def area_by_products(value: Tensor, size: tuple[int, int]) -> Tensor:
    """Return what `F.interpolate(mode="area")` does for `[…, H, W]`, by one matrix product for each axis."""
    rows, columns = (_means(old, new).to(value) for old, new in zip(value.shape[-2:], size, strict=True))
    return rows @ value @ columns.T


def _means(length: int, parts: int) -> Tensor:
    """Return `[parts, length]`: each row averages its part of an axis; neighbours overlap where they do not divide."""
    edges = [(i * length // parts, -(-(i + 1) * length // parts)) for i in range(parts)]
    return torch.stack([torch.arange(length).ge(a).logical_and(torch.arange(length).lt(b)) / (b - a) for a, b in edges])


def _check(channels: int, height: int, width: int, kind: str, rank: int | None) -> None:
    if kind not in KINDS:
        raise RespoError(f"expected a grid of kind {', '.join(KINDS)}, found {kind!r}")
    if min(channels, height, width) < 1:
        raise RespoError(f"expected a grid of at least 1 x 1 x 1, found {channels} x {height} x {width}")
    if (kind == "low_rank") != (rank is not None) or (rank is not None and rank < 1):
        raise RespoError(f"expected a rank >= 1 for low_rank and none for the other kinds, found {rank!r} for {kind}")
