"""What changed between two pictures: how much at each pixel, how much outside a subject, and as a heat map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RespoError

TOPS = (0.1, 0.25, 0.5, 1.0)  # possible ends of the colour scale, as a share of the full range
_ABOVE = 0.02  # the share of pixels that may exceed it
_GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue in brightness (Rec. 601)
_DIMMED = 0.6
# Eleven colours of "inferno" at equal distances (Smith and van der Walt, CC0): even steps look even, in grey, too.
_INFERNO = (
    *("000004", "160b39", "420a68", "6a176e", "932667", "bc3754"),
    *("dd513a", "f37819", "fca50a", "f6d746", "fcffa4"),
)


def change_map(before: Tensor, after: Tensor) -> Tensor:
    """Return |after - before| at each pixel, averaged over the colours: `[B, H, W]` in 0 … 1 (1 is the full range).

    `before`, `after`: `[B, H, W, C]` in 0 … 1. Values are treated as in a saved file: clipped, NaN is black, alpha is
    ignored. Raises RespoError when the sizes or numbers of pictures differ.
    """
    if before.shape[:3] != after.shape[:3] or before.ndim != 4 or not before.numel():
        raise RespoError(
            f"expected the same number and size of pictures before and after, found {_described(before)} before and "
            f"{_described(after)} after. Draw both from the same latent."
        )
    pairs = zip(before, after, strict=True)  # one pair at a time: a large batch needs no second copy
    return torch.stack([(colours(b) - colours(a)).abs().mean(-1) for b, a in pairs])


def colours(picture: Tensor) -> Tensor:
    """Return the `[H, W, 3]` that a saved file would show of a picture `[H, W, C]`."""
    shown = picture[..., :3].float().clamp(0, 1).nan_to_num(0.0)
    return shown if shown.shape[-1] == 3 else shown[..., :1].expand(*shown.shape[:-1], 3)


def fit_subject(subject: Tensor, change: Tensor) -> Tensor:
    """Return a host's MASK, `[H, W]` or `[1 or B, H, W]`, as `[B, H, W]` in 0 … 1, to match `change`.

    Raises RespoError when it does not fit.
    """
    mask = subject if subject.ndim == 3 else subject[None]
    if mask.shape[1:] != change.shape[1:] or len(mask) not in (1, len(change)):
        raise RespoError(
            f"expected a mask of the pictures' size, {_described(change)}, or one for all of them, found "
            f"{_described(mask)}. Make the mask from one of the pictures."
        )
    return mask.to(change.device, change.dtype).clamp(0, 1).nan_to_num(0.0).expand_as(change)


def share_outside(change: Tensor, subject: Tensor | None) -> float:
    """Return the share of the whole change that lies outside the subject, 0 … 1. Both arguments: `[B, H, W]` in 0 … 1.

    It is 1 without a subject, because then everything is outside, and 0 without any change.
    """
    total = float(change.sum(dtype=torch.float64))
    if total == 0:
        return 0.0
    inside = 0.0 if subject is None else float((change * subject).sum(dtype=torch.float64))
    return min(max(1 - inside / total, 0.0), 1.0)


def scale_top(change: Tensor) -> float:
    """Return the change that gets the brightest colour: the smallest of TOPS that at most 1 in 50 pixels exceeds."""
    allowed = _ABOVE * change.numel()
    return next((top for top in TOPS if int((change > top).sum()) <= allowed), TOPS[-1])


def heat_colours(level: Tensor) -> Tensor:
    """Return `[…, 3]`: the colour of each level `[…]` in 0 … 1, from black through red to pale yellow."""
    table = torch.tensor([[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in _INFERNO], device=level.device)
    place = level.clamp(0, 1) * (len(table) - 1)
    low = place.long().clamp(max=len(table) - 2)
    return torch.lerp(table[low], table[low + 1], (place - low)[..., None])


def heat_over(picture: Tensor, change: Tensor, top: float) -> Tensor:
    """Return `[H, W, 3]`: `change` `[H, W]` as colours over a dimmed grey version of the picture `[H, W, C]`.

    The larger the change, the less of the picture is visible: no colour at 0, no picture from `top` on.
    """
    level = (change / top).clamp(0, 1)
    grey = (colours(picture) @ torch.tensor(_GREY, device=picture.device))[..., None] * _DIMMED
    return torch.lerp(grey, heat_colours(level), level.sqrt()[..., None])


def outline(subject: Tensor, thickness: int) -> Tensor:
    """Return a bool `[H, W]`: a line of `thickness` pixels around the area where the mask `[H, W]` is above 0.5."""
    inside = (subject > 0.5).float()[None, None]
    grown = F.max_pool2d(inside, 2 * thickness + 1, stride=1, padding=thickness)
    return (grown > inside)[0, 0]


def _described(pictures: Tensor) -> str:
    count, height, width = (*pictures.shape, 0, 0, 0)[:3]
    return f"{count} of {width} × {height}"
