"""A small map of h: what it adds depends on h itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RespoError


class HMap(nn.Module):
    """Two 1 x 1 convolutions with a GELU in between: `outward gelu(inward h / rms(h) + bias)`, float32.

    A constant pushes every picture equally: it moves dark skin on to darker skin, and passes by a medium skin tone,
    which lies between the others. A map of h can stop at its target, as in Asyrp (arXiv 2210.10960, section 3.3).
    rms(h) is one number per picture; dividing by it makes the map independent of the scale of a model's h. The map
    starts at zero because `outward` does; if `inward` did too, neither would ever get a gradient.
    """

    def __init__(self, channels: int, width: int):
        """`channels`: of h; `width`: hidden width. Raises RespoError for sizes below 1."""
        super().__init__()
        if min(channels, width) < 1:
            raise RespoError(f"expected a map of at least 1 channel and width 1, found {channels} and {width}")
        generator = torch.Generator().manual_seed(0)
        self.inward = nn.Parameter(torch.randn(width, channels, generator=generator) / channels**0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.outward = nn.Parameter(torch.zeros(channels, width))

    @classmethod
    def from_tensors(cls, inward: Tensor, bias: Tensor, outward: Tensor) -> HMap:
        """Build from `[K, C]`, `[K]` and `[C, K]`, copied to float32.

        Raises RespoError when the shapes do not match.
        """
        shapes = [tuple(tensor.shape) for tensor in (inward, bias, outward)]
        if inward.ndim != 2 or shapes[1:] != [shapes[0][:1], shapes[0][::-1]]:
            raise RespoError(f"expected a map of h of the shapes [K, C], [K] and [C, K], found {shapes}")
        made = cls(shapes[0][1], shapes[0][0])
        with torch.no_grad():
            for parameter, tensor in zip(made.parameters(), (inward, bias, outward), strict=True):
                parameter.copy_(tensor)
        return made

    @property
    def width(self) -> int:
        """The hidden width K."""
        return self.inward.shape[0]

    def forward(self, h: Tensor) -> Tensor:
        """Return what is added to `h`, `[B, C, H, W]` with any H and W: the same shape, float32."""
        return map_of_h(h, self.inward, self.bias, self.outward)


def map_of_h(h: Tensor, inward: Tensor, bias: Tensor, outward: Tensor) -> Tensor:
    """Return what a map with these weights, `[K, C]`, `[K]` and `[C, K]`, adds to `h`; see `HMap.forward`."""
    h = h.float()
    size = h.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(torch.finfo(h.dtype).tiny)
    heard = torch.einsum("kc,bchw->bkhw", inward, h / size) + bias[:, None, None]
    return torch.einsum("ck,bkhw->bchw", outward, F.gelu(heard))


@torch.no_grad()
def weighted(terms: Sequence[tuple[float, HMap]]) -> HMap | None:
    """Return one map that equals the sum of `weight * map(h)` exactly, or None if there are no terms."""
    if not terms:
        return None
    inward, bias = (torch.cat([getattr(one, key) for _, one in terms]) for key in ("inward", "bias"))
    return HMap.from_tensors(inward, bias, torch.cat([weight * one.outward for weight, one in terms], dim=1))
