"""How light skin looks, as its individual typology angle (ITA), which is measured on L* and b* of CIELAB.

ITA = arctan((L* - 50) / b*) in degrees (Chardon, Cretois and Hourseau 1991, "Skin colour typology and suntanning
pathways", doi 10.1111/j.1467-2494.1991.tb00561.x). The limits are those of Del Bino and Bernerd 2013 (doi
10.1111/bjd.12529): very light above 55, light above 41, intermediate above 28, tan above 10, brown above -30, dark.
We keep the two of them that make three groups.

The angle was defined for skin in the known light of an instrument. On a picture it measures the light as much as the
skin, and it says nothing of the hue, from red to yellow (Thong, Joniak and Xiang 2023, arXiv 2309.05148).
"""

from __future__ import annotations

import torch
from torch import Tensor

TONES = ("light", "medium", "dark")
LIMITS = (41.0, 10.0)  # degrees: light above the first, dark up to the second
_LEAST_CHROMA = 5.0  # below it a pixel is grey, as in a black and white picture
_LEAST_LIGHT = 65.0  # L* that eyes, teeth or glare reach in a face that is lit, whatever its skin
_BRIGHT_PART = 0.95  # quantile of the face's L* that is compared with it
_MOST_UNEVEN = 15.0  # L* between one cheek and the other: more is light from the side
# Of sRGB to XYZ, and the white of D65 (IEC 61966-2-1).
_TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_WHITE = (0.9505, 1.0, 1.089)


def to_lab(colours: Tensor) -> Tensor:
    """Return L*, a* and b* of sRGB colours: `[..., 3]` in 0 … 1 -> `[..., 3]`."""
    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    xyz = linear @ torch.tensor(_TO_XYZ).T / torch.tensor(_WHITE)
    x, y, z = torch.where(
        xyz > (6 / 29) ** 3, xyz.clamp(min=1e-9) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29
    ).unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def ita(lab: Tensor) -> Tensor:
    """Return the angle in degrees of L*a*b* colours `[..., 3]` with b* above 0: `[...]`, from -90 to 90."""
    return torch.rad2deg(torch.atan2(lab[..., 0] - 50, lab[..., 2]))


def tone_shares(cheeks: Tensor, face: Tensor) -> Tensor:
    """Return which share of the pixels of a face has each of TONES, `[3]`.

    `cheeks`: `[h, w, 3]`, from one to the other; `face`: `[H, W, 3]`, with eyes and mouth; both sRGB in 0 … 1. Pixels
    without the hue of skin, from red to yellow, have none of the tones: hair, grey, coloured light. Where the face is
    not lit, or from one side only, there are none at all, as the light decides: of 11 faces in pictures of other models
    that were dark otherwise, all with light skin to our eyes, this leaves 3.
    """
    lab = to_lab(cheeks)
    third = lab.shape[1] // 3
    uneven = (lab[:, :third, 0].median() - lab[:, -third:, 0].median()).abs() > _MOST_UNEVEN
    unlit = to_lab(face)[..., 0].flatten().quantile(_BRIGHT_PART) < _LEAST_LIGHT
    like_skin = (lab[..., 1:] > 0).all(-1) & (lab[..., 1:].norm(dim=-1) >= _LEAST_CHROMA) & ~uneven & ~unlit
    angle = ita(lab)
    light, dark = like_skin & (angle > LIMITS[0]), like_skin & (angle <= LIMITS[1])
    return torch.stack([light, like_skin & ~light & ~dark, dark]).double().mean((1, 2))
