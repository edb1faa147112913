"""What a patch adds to h in one call of the model, prepared before the network runs.

All that needs Python, a copy or a search is done here, outside of what `torch.compile` traces: whose row is whose, the
verdicts of probes, constants and masks at the size of h, everything on its device. What is left to the patch is
arithmetic on h. Tensors are kept for a few sizes and devices, and each is a function of its key alone: the host may
plan from several threads, for several copies of a model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from ...respo_train.core.module.h_map import map_of_h
from ...respo_train.core.module.probe import PromptProbe, Reader
from ..calls.call import Call
from ..calls.rows import Chunk, Pictures, Size
from .edits import WHOLE_RUN, Area, ModuleEdit, PicturesWithConcept
from .low_band import Low, LowBand

_SIZES_KEPT = 8  # sizes of h whose constants are kept: enough for a second pass and a few area prompts
_CALLS_KEPT = 128  # kinds of calls whose rows and masks are kept: the windows of a long batch

_DEVICES_KEPT = 8

Edit = ModuleEdit | LowBand
Chunks = tuple[Chunk, ...]
Planner = Callable[[Call, Size], "Plan"]
# (a call, the size of h, on which rows the edit's conditions hold, `[rows or 1]`) -> what it adds
Maker = Callable[[Call, Size, Tensor | None], "Part"]


@dataclass(frozen=True)
class Plan:
    """`parts`: what is added in a call of `rows` rows to an h of `size`, in order.

    `mask`: the factor on what regions limit, `[rows, 1, *size]`; None for no limit.
    """

    rows: int
    size: Size
    parts: tuple[Part, ...]
    mask: Tensor | None

    def fits(self, h: Tensor) -> bool:
        """Whether it was made for such an h. Deep Shrink and the like change the size on the way."""
        return h.shape[0] == self.rows and (h.shape[2], h.shape[3]) == self.size

    def change(self, h: Tensor, limit: Tensor | None) -> Tensor | None:
        """Return what is added to `h` `[rows, C, H, W]`: the same shape, float32; None for nothing.

        `limit`: a further factor on what regions limit, `[rows, 1, H, W]`.
        """
        limit = product([self.mask, limit])
        total = None
        for part in self.parts:
            for term in part.terms(h):
                own = term * limit if limit is not None and part.limited else term
                total = own if total is None else total + own
        return total


@dataclass(frozen=True)
class Constants:
    """Constants that rows pick. `table`: `[1 + K, C, H, W]`, zeros first; `index`: their entries, `[S, rows]`."""

    table: Tensor
    index: Tensor
    limited: bool = True

    def terms(self, h: Tensor) -> list[Tensor]:
        return [self.table.index_select(0, own) for own in self.index.unbind()]


@dataclass(frozen=True)
class Varying:
    """A module that reads h, or that has a mask of its own. `weights`: of its map of h; None for no map."""

    constant: Tensor
    strength: float
    weights: Sequence[Tensor] | None
    mask: Tensor | None
    acting: Tensor
    limited: bool = True

    def terms(self, h: Tensor) -> list[Tensor]:
        value = self.constant
        if self.weights is not None:
            value = value + self.strength * map_of_h(h, *self.weights)
        if self.mask is not None:
            value = value * self.mask
        return [torch.where(self.acting, value, 0.0)]


# What an edit adds in one call. `limited`: whether regions limit it; `terms`: the summands for h `[rows, C, H, W]`, in
# order, each `[rows, C, H, W]`, float32.
Part = Constants | Varying | Low


def product(weights: Sequence[Tensor | None]) -> Tensor | None:
    """Multiply masks `[rows, 1, H, W]`; None is no limit."""
    limits = [weight for weight in weights if weight is not None]
    return reduce(torch.mul, limits) if limits else None


def planner(edits: Sequence[Edit], areas: Sequence[Area]) -> Planner:
    """Return what plans a call's sorted `edits`, modules limited to `areas`. It may raise RespoError."""
    makers = [maker for key, run in groupby(edits, key=_kind) for maker in _makers(key, list(run))]

    @lru_cache(maxsize=_CALLS_KEPT)
    def mask(chunks: Chunks, size: Size, device: torch.device) -> Tensor | None:
        found = product([area.over(chunks, size) for area in areas])
        return None if found is None else found.to(device)

    @lru_cache(maxsize=_DEVICES_KEPT)
    def reader(probe: PromptProbe, device: torch.device) -> Reader:
        return probe.on(device)

    def plan(call: Call, size: Size) -> Plan:
        within = cache(call.between)
        prompts = call.prompts

        @cache
        def is_open(probe: PromptProbe) -> Tensor | None:
            return None if prompts is None else reader(probe, call.device).leaves_open(prompts)

        def holds(edit: Edit) -> Tensor | None:
            spans = None if edit.sigmas == WHOLE_RUN else within(*edit.sigmas)
            opens = None if edit.probe is None else is_open(edit.probe)
            return spans & opens if spans is not None and opens is not None else spans if opens is None else opens

        parts = tuple(make(call, size, holds(edit)) for edit, make in makers)
        return Plan(call.rows, size, parts, mask(call.chunks, size, call.device))

    return plan


def _kind(edit: Edit) -> Hashable:
    """Return what constants have in common that make one part; each other edit makes a part of its own."""
    constant = isinstance(edit, ModuleEdit) and edit.module.map is None and edit.area is None
    return (edit.sigmas, id(edit.probe)) if constant else None


def _makers(kind: Hashable, edits: list[Any]) -> list[tuple[Edit, Maker]]:
    """Return what makes the parts of some edits of one kind, each with the edit that has its conditions."""
    if kind is not None:
        return [(edits[0], _constants(edits))]
    return [(edit, _varying(edit) if isinstance(edit, ModuleEdit) else _low(edit)) for edit in edits]


def _constants(edits: Sequence[ModuleEdit]) -> Maker:
    """Several concepts make one table, of which each row picks as many entries as can act on one picture."""
    slots = _most_at_once([edit.images for edit in edits])

    @lru_cache(maxsize=_SIZES_KEPT)
    def table(size: Size, device: torch.device) -> Tensor:
        deltas = [edit.module.delta(*size, edit.strength, edit.fidelity).detach() for edit in edits]
        return torch.stack([torch.zeros_like(deltas[0]), *deltas]).to(device)

    @lru_cache(maxsize=_CALLS_KEPT)
    def index(chunks: Chunks, device: torch.device) -> Tensor:
        rows = zip(*(flags_of(edit, chunks) for edit in edits), strict=True)
        picked = [[entry for entry, acts in enumerate(row, start=1) if acts] for row in rows]
        return torch.tensor([[*own, *[0] * (slots - len(own))] for own in picked]).T.contiguous().to(device)

    def make(call: Call, size: Size, holds: Tensor | None) -> Constants:
        own = index(call.chunks, call.device)
        return Constants(table(size, call.device), own if holds is None else own * holds)

    return make


def _most_at_once(images: Sequence[PicturesWithConcept | None]) -> int:
    """Return how many of some edits can act on one picture.

    It does not depend on the pictures: a traced network may not notice that the number of additions has changed.
    """
    alike = Counter((place, place) if one is None else one.choice for place, one in enumerate(images))
    most: dict[Hashable, int] = {}
    for (choice, _), times in alike.items():
        most[choice] = max(most.get(choice, 0), times)
    return sum(most.values())


def _varying(edit: ModuleEdit) -> Maker:
    acting = _acting(edit)

    @lru_cache(maxsize=_SIZES_KEPT)
    def constant(size: Size, device: torch.device) -> Tensor:
        return edit.module.delta(*size, edit.strength, edit.fidelity).detach().to(device)

    @lru_cache(maxsize=_DEVICES_KEPT)
    def weights(device: torch.device) -> Sequence[Tensor] | None:
        own = edit.module.map
        return None if own is None else [part.detach().to(device) for part in (own.inward, own.bias, own.outward)]

    @lru_cache(maxsize=_CALLS_KEPT)
    def mask(chunks: Chunks, size: Size, device: torch.device) -> Tensor | None:
        return None if edit.area is None else edit.area.over(chunks, size).to(device)

    def make(call: Call, size: Size, holds: Tensor | None) -> Varying:
        own, device = mask(call.chunks, size, call.device), call.device
        return Varying(constant(size, device), edit.strength, weights(device), own, acting(call, holds))

    return make


def _low(edit: LowBand) -> Maker:
    acting = _acting(edit)

    def make(call: Call, size: Size, holds: Tensor | None) -> Low:
        everywhere = edit.guidance == "both" and holds is None
        return Low(edit.strength, edit.levels, edit.recorded(call, size), None if everywhere else acting(call, holds))

    return make


def _acting(edit: Edit) -> Callable[[Call, Tensor | None], Tensor]:
    """Return what tells the rows of a call on which an edit acts, `[rows, 1, 1, 1]`."""

    @lru_cache(maxsize=_CALLS_KEPT)
    def flags(chunks: Chunks, device: torch.device) -> Tensor:
        return torch.tensor(flags_of(edit, chunks)).to(device)

    def acting(call: Call, holds: Tensor | None) -> Tensor:
        own = flags(call.chunks, call.device)
        return (own if holds is None else own & holds)[:, None, None, None]

    return acting


def flags_of(edit: Edit, chunks: Chunks) -> list[bool]:
    """Return which rows of a call an edit may act on. Raises RespoError where nothing tells whose rows they are."""

    @cache
    def chosen(pictures: Pictures) -> Sequence[bool]:
        if edit.images is None:
            return [True] * pictures.rows
        flags = edit.images(pictures.count, pictures.seed)
        return [flags[place] for place in pictures.known()]

    sides = [edit.guidance == "both" or chunk.cond.conditional for chunk in chunks]
    return [side and own for side, chunk in zip(sides, chunks, strict=True) for own in chosen(chunk.pictures)]
