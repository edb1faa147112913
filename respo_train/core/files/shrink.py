"""Smaller forms of a module, and how much of the module they keep."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import torch

from ..errors import RespoError
from ..module.attribute import Attribute
from ..module.concept import ConceptModule
from ..module.grid import Grid

Form = Literal["low rank", "channel", "as it is"]
FORMS: tuple[Form, ...] = get_args(Form)


def shrunk(attribute: Attribute, form: Form, rank: int = 1) -> Attribute:
    """Return `attribute` with every part in a smaller form. Maps of h, and parts that are as small already, stay.

    "channel": the mean over all places, one number per channel. "low rank": the best approximation of rank `rank` in
    least squares (truncated SVD of `[C, H * W]`; Eckart and Young, 1936). "as it is": unchanged. Raises RespoError for
    another form or a rank below 1.
    """
    if form not in FORMS:
        raise RespoError(f"expected the form {', '.join(FORMS)}, found {str(form)[:80]!r}.")
    if rank < 1:
        raise RespoError(f"expected a rank of at least 1, found {rank}.")
    if form == "as it is":
        return attribute
    concepts = {}
    for name, module in attribute.concepts.items():
        parts = (module.responsible, module.semantic)
        responsible, semantic = (_mean(part) if form == "channel" else _strongest(part, rank) for part in parts)
        concepts[name] = ConceptModule.from_parts(responsible, semantic, module.map)
    return replace(attribute, concepts=concepts)


@torch.no_grad()
def kept(whole: ConceptModule, small: ConceptModule) -> float:
    """Return the share of `whole`'s energy that `small` keeps: `1 - |whole - small|² / |whole|²` over both parts.

    It is 1 for a module of zeros, and below 0 when `small` has little in common with `whole`.
    """
    lost = energy = 0.0
    for part, own in ((whole.responsible, small.responsible), (whole.semantic, small.semantic)):
        value = part.value().double()
        lost += (value - own.resized(*value.shape[1:]).double()).square().sum().item()
        energy += value.square().sum().item()
    return 1 - lost / energy if energy else 1.0


@torch.no_grad()
def _mean(part: Grid) -> Grid:
    return Grid.from_tensors(part.value().mean(dim=(1, 2), keepdim=True))


@torch.no_grad()
def _strongest(part: Grid, rank: int) -> Grid:
    value = part.value()
    channels, height, width = value.shape
    if part.kind == "low_rank" and part.channels.shape[1] <= rank:
        return part
    if rank * (channels + height * width) >= sum(p.numel() for p in part.parameters()):
        return part  # the factors would be larger than the part itself
    left, sizes, right = torch.linalg.svd(value.double().reshape(channels, -1), full_matrices=False)
    # The square root of each singular value goes to either side, so both factors stay in the range of float16.
    scale = sizes[:rank].sqrt()
    space = scale[:, None] * right[:rank]
    return Grid.from_tensors(left[:, :rank] * scale, space.reshape(-1, height, width))
