"""The module of one concept, added to h: constants (RespoDiff, arXiv 2509.15257, section 3) and optionally a map of h.

Training and inference use the same code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import RespoError
from .grid import Grid
from .h_map import HMap


class ConceptModule(nn.Module):
    """Two learned constants in the space of h: `responsible` makes the concept appear, `semantic` preserves the rest.

    `map`, which is optional, adds to the responsible part depending on h. All parts start without effect. Parameters
    are float32.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        kind: str = "grid",
        rank: int | None = None,
        map_width: int | None = None,
    ):
        """`channels`, `height`, `width`: size of h. `kind`: "grid", "low_rank" (needs `rank`) or "channel".

        `map_width`: hidden width of the map of h; None for no map.
        """
        super().__init__()
        self.responsible = Grid(channels, height, width, kind, rank)
        self.semantic = Grid(channels, height, width, kind, rank)
        self.map = None if map_width is None else HMap(channels, map_width)

    @classmethod
    def from_parts(
        cls,
        responsible: Grid,
        semantic: Grid | None = None,
        map: HMap | None = None,  # noqa: A002 - its name in the file
    ) -> ConceptModule:
        """Join stored parts; a missing semantic part is zero. Raises RespoError when their channels differ."""
        channels, height, width = responsible.shape
        if semantic is None:
            semantic = Grid(channels, height, width)
        if semantic.shape[0] != channels:
            raise RespoError(
                f"expected a semantic part with {channels} channels like the responsible one, found {semantic.shape[0]}"
            )
        if map is not None and map.outward.shape[0] != channels:
            raise RespoError(
                f"expected a map of h with {channels} channels like the responsible part, found {map.outward.shape[0]}"
            )
        module = cls(1, 1, 1)  # its own parts are replaced, so they can be small
        module.responsible, module.semantic, module.map = responsible, semantic, map
        return module

    @property
    def channels(self) -> int:
        """Number of channels of the h that this module is made for."""
        return self.responsible.shape[0]

    def semantic_may_be_left_out(self, dtype: torch.dtype) -> bool:
        """Return whether the semantic part, stored as `dtype`, is what `from_parts` makes where none is given."""
        part = self.semantic
        return part.kind != "low_rank" and part.shape == self.responsible.shape and not part.value().to(dtype).any()

    def delta(self, height: int, width: int, strength: float = 1.0, fidelity: float = 1.0) -> Tensor:
        """Return the constants, `strength * (responsible + fidelity * semantic)`: float32 `[C, height, width]`."""
        change = self.responsible.resized(height, width) + fidelity * self.semantic.resized(height, width)
        return strength * change

    def towards(self, h: Tensor) -> Tensor:
        """Return `responsible`, plus the map of `h` if there is one.

        `h`: `[B, C, H, W]`; result `[C, H, W]` or `[B, C, H, W]`.
        """
        constant = self.responsible.resized(h.shape[2], h.shape[3])
        return constant if self.map is None else constant + self.map(h)

    def change(self, h: Tensor, strength: float = 1.0, fidelity: float = 1.0) -> Tensor:
        """Return all that is added to `h`: `delta` plus `strength` times the map; `[C, H, W]` or `[B, C, H, W]`."""
        constant = self.delta(h.shape[2], h.shape[3], strength, fidelity)
        return constant if self.map is None else constant + strength * self.map(h)

    def forward(self, h: Tensor, strength: float = 1.0, fidelity: float = 1.0) -> Tensor:
        """Return `h + change`, a new tensor in h's dtype. `h`: `[B, C, H, W]` with any H and W.

        Raises RespoError when h has another number of channels.
        """
        if h.shape[1] != self.channels:
            raise RespoError(f"expected h with {self.channels} channels, found {h.shape[1]}; is this another model?")
        return h + self.change(h, strength, fidelity).to(h)
