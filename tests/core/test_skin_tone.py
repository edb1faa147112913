"""Skin tone: CIELAB and the angle against published values, and when the light does not let it be told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from respo_train.core.pictures.skin_tone import TONES, ita, to_lab, tone_shares


def plain(*colour: int, size: tuple[int, int] = (14, 34)) -> Tensor:
    return (torch.tensor(colour) / 255).expand(*size, 3).clone()


def lit(*colour: int) -> Tensor:
    """A face of one colour with bright eyes."""
    face = plain(*colour, size=(42, 40))
    face[4:8] = 0.95
    return face


@pytest.mark.parametrize(
    ("colour", "lab"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0.0, 0.0)),
    ],
)
def test_cielab(colour: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    """Values of Bruce Lindbloom's calculator for sRGB and D65."""
    assert to_lab(torch.tensor(colour) / 255).tolist() == pytest.approx(lab, abs=0.06)


@pytest.mark.parametrize(("lab", "angle"), [((70, 10, 20), 45.0), ((50, 10, 20), 0.0), ((30, 10, 20), -45.0)])
def test_the_angle(lab: tuple[float, float, float], angle: float) -> None:
    assert float(ita(torch.tensor(lab, dtype=torch.float32))) == pytest.approx(angle)


@pytest.mark.parametrize(
    ("colour", "tone"), [((241, 194, 167), "light"), ((198, 144, 106), "medium"), ((96, 58, 40), "dark")]
)
def test_tones(colour: tuple[int, int, int], tone: str) -> None:
    shares = dict(zip(TONES, tone_shares(plain(*colour), lit(*colour)).tolist(), strict=True))
    assert shares == {name: float(name == tone) for name in TONES}


def test_a_share_for_each_pixel() -> None:
    skin = plain(241, 194, 167)
    skin[:7] = plain(96, 58, 40)[:7]
    assert tone_shares(skin, lit(241, 194, 167)).tolist() == pytest.approx([0.5, 0, 0.5])


@pytest.mark.parametrize(
    ("colour", "why"), [((160, 160, 160), "grey"), ((90, 110, 180), "blue light"), ((90, 160, 100), "green light")]
)
def test_what_has_not_the_hue_of_skin_has_no_tone(colour: tuple[int, int, int], why: str) -> None:
    assert tone_shares(plain(*colour), lit(*colour)).tolist() == [0, 0, 0], why


def test_a_face_in_shadow_or_in_light_from_one_side_has_no_tone() -> None:
    skin = (96, 58, 40)
    assert tone_shares(plain(*skin), plain(*skin, size=(42, 40))).sum() == 0
    one_side = plain(241, 194, 167)
    one_side[:, 17:] = plain(*skin)[:, 17:]
    assert tone_shares(one_side, lit(*skin)).sum() == 0
