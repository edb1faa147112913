"""How much the background, all that is outside the persons, differs between two pictures of one prompt and seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log10

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import RespoError
from ..judges.emoji_world import INPUT_SIDE, Judge
from ..judges.segmenter import Segmenter
from .drawn import Drawn, pairs, to_tensor
from .figure import Figure, joined, mean_of, share_of

MOST = 100.0  # dB; the value for two identical backgrounds


def background_psnrs(segmenter: Segmenter, before: Sequence[Drawn], after: Sequence[Drawn]) -> NDArray[np.float64]:
    """Return each pair's PSNR in dB, at most 100, outside both persons; NaN where they fill the picture."""
    found = []
    for first, second, outside in _outsides(segmenter, before, after):
        error = (first - second).square().mean(1)
        mean = (error * outside).sum((1, 2)) / outside.sum((1, 2))  # 0 / 0 is NaN
        found.append(-10 * mean.clamp(min=10 ** (-MOST / 10)).log10().double().numpy())
    return np.concatenate(found) if found else np.zeros(0)


def background_psnr(segmenter: Segmenter, before: Sequence[Drawn], after: Sequence[Drawn]) -> Figure:
    """Return the mean PSNR in dB outside both pictures' persons, same prompts and seeds.

    Identical backgrounds count 100 dB each; a note says how many there are.
    """
    values = background_psnrs(segmenter, before, after)
    same, full = int((values >= MOST).sum()), int(np.isnan(values).sum())
    notes = (
        f"{same} identical, at {MOST:g} dB" if same else "",
        f"{full} left out: nothing but persons" if full else "",
    )
    return mean_of(values, after, joined(*notes))


def background_psnr_of_mean(segmenter: Segmenter, before: Sequence[Drawn], after: Sequence[Drawn]) -> Figure:
    """Return the PSNR in dB of the mean squared error of all pictures outside both persons, same prompts and seeds.

    A picture that was left alone is one without an error here, and not one of 100 dB, which outweighs several others.
    """
    error = mean_of(10 ** (-background_psnrs(segmenter, before, after) / 10), after)
    value, low, high = (-10 * log10(own) for own in (error.value, error.high, error.low))
    return Figure(value, low, high, error.n, error.note)


def identical(before: Sequence[Drawn], after: Sequence[Drawn]) -> Figure:
    """Return the share of pictures that are the same in every bit."""
    same = [
        np.array_equal(a, b)
        for one, two in pairs(before, after)
        for a, b in zip(one.images[:], two.images[:], strict=True)
    ]
    return share_of(np.array(same, dtype=bool), after)


def perceptual_distances(
    judge: Judge, before: Sequence[Drawn], after: Sequence[Drawn], segmenter: Segmenter
) -> NDArray[np.float64]:
    """Return each pair's distance in the judge's feature maps, 0 … 4; NaN where persons fill the picture.

    After LPIPS (Zhang et al., arXiv 1801.03924), with the judge as the network and without its learned weights: maps
    of three depths, each place's features made unit vectors, their squared distance averaged over the places outside
    both persons. Both persons are painted over in both pictures first, since features see their neighbourhood.
    """
    if not isinstance(judge, Judge):
        raise RespoError("expected a judge with feature maps to compare pictures by (Emoji World's), found another one")
    found = []
    for first, second, outside in _outsides(segmenter, before, after):
        kept = outside[:, None].float()
        found.append(_distances(judge, first * kept + (1 - kept) / 2, second * kept + (1 - kept) / 2, kept))
    return np.concatenate(found) if found else np.zeros(0)


def perceptual_distance(judge: Judge, before: Sequence[Drawn], after: Sequence[Drawn], segmenter: Segmenter) -> Figure:
    """Return the mean of `perceptual_distances`."""
    return mean_of(perceptual_distances(judge, before, after, segmenter), after)


@torch.inference_mode()
def _distances(judge: Judge, first: Tensor, second: Tensor, kept: Tensor) -> NDArray[np.float64]:
    total = torch.zeros(len(first))
    maps = list(zip(_maps(judge, first), _maps(judge, second), strict=True))
    for a, b in maps:
        apart = (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1)
        weight = F.interpolate(kept, size=apart.shape[1:], mode="area")[:, 0]
        total += (apart * weight).sum((1, 2)) / weight.sum((1, 2))
    return (total / len(maps)).double().numpy()


def _maps(judge: Judge, images: Tensor) -> list[Tensor]:
    """Return the judge's last feature map of each width, `[B, C, H, W]`."""
    x = F.interpolate(images, size=(INPUT_SIDE, INPUT_SIDE), mode="area") * 2 - 1
    found: dict[int, Tensor] = {}
    for layer in judge.body:
        x = layer(x)
        found[x.shape[1]] = x
    return list(found.values())


def _outsides(
    segmenter: Segmenter, before: Sequence[Drawn], after: Sequence[Drawn]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield both pictures and the mask of what is outside both persons, for one prompt after the other."""
    for first, second in pairs(before, after):
        if len(first.images):
            one, two = to_tensor(first.images), to_tensor(second.images)
            yield one, two, ~(segmenter.masks(one) | segmenter.masks(two))
