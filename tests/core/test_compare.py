from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from respo_train.core.errors import RespoError
from respo_train.core.pictures.compare import (
    TOPS,
    change_map,
    colours,
    fit_subject,
    heat_colours,
    heat_over,
    outline,
    scale_top,
    share_outside,
)


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_change_by_hand() -> None:
    before = torch.zeros(2, 3, 4, 3)
    after = before.clone()
    after[1, 2, 3] = torch.tensor([0.3, 0.0, 0.6])
    change = change_map(before, after)
    assert change.shape == (2, 3, 4)
    assert change[1, 2, 3] == pytest.approx(0.3)
    assert change.sum() == pytest.approx(0.3)
    assert torch.equal(change_map(after, before), change)


def test_change_is_of_what_is_seen() -> None:
    """Values beyond black and white, and alpha, are not seen; NaN is black."""
    before, after = torch.ones(1, 1, 3, 4), torch.ones(1, 1, 3, 4)
    after[0, 0, 0, :3] = 5.0
    after[0, 0, 1, 3] = 0.0
    after[0, 0, 2, :3] = math.nan
    assert change_map(before, after).tolist() == [[[0.0, 0.0, 1.0]]]
    assert colours(torch.full((2, 2, 1), 0.25)).tolist() == [[[0.25] * 3] * 2] * 2


def test_change_mutates_nothing() -> None:
    before, after = pictures(2, 4, 4, 3) * 3 - 1, pictures(2, 4, 4, 3, seed=1)
    kept = before.clone(), after.clone()
    change_map(before, after)
    assert torch.equal(before, kept[0])
    assert torch.equal(after, kept[1])


@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (1, 5, 5, 3), (1, 4, 6, 3)])
def test_pictures_that_do_not_match_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RespoError) as caught:
        change_map(torch.zeros(1, 4, 5, 3), torch.zeros(shape))
    assert "1 of 5 × 4 before" in str(caught.value)
    assert f"{shape[0]} of {shape[2]} × {shape[1]} after" in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (4, 4)])
def test_no_pictures_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RespoError, match="expected the same number and size of pictures"):
        change_map(torch.zeros(shape), torch.zeros(shape))


def test_share_outside_by_hand() -> None:
    change = torch.tensor([[[0.1, 0.3], [0.0, 0.6]]])
    subject = torch.tensor([[[1.0, 0.5], [0.0, 0.0]]])
    assert share_outside(change, subject) == pytest.approx((0.15 + 0.6) / 1.0)
    assert share_outside(change, torch.ones(1, 2, 2)) == pytest.approx(0, abs=1e-7)
    assert share_outside(change, torch.zeros(1, 2, 2)) == share_outside(change, None) == 1
    assert share_outside(torch.zeros(1, 2, 2), None) == share_outside(torch.zeros(1, 2, 2), subject) == 0


def test_share_is_of_the_batch_as_a_whole() -> None:
    """A picture that changed more counts for more."""
    change = torch.tensor([[[0.9]], [[0.1]]])
    assert share_outside(change, torch.tensor([[[1.0]], [[0.0]]])) == pytest.approx(0.1)


def test_subject_fits_all_pictures_or_each() -> None:
    change = torch.zeros(3, 2, 4)
    one, each = pictures(1, 2, 4), pictures(3, 2, 4)
    assert torch.equal(fit_subject(one, change), one.expand(3, 2, 4))
    assert torch.equal(fit_subject(one[0], change), one.expand(3, 2, 4))
    assert torch.equal(fit_subject(each, change), each)
    assert fit_subject(torch.tensor([[math.nan, -1.0, 2.0, 0.5]] * 2), change)[0, 0].tolist() == [0, 0, 1, 0.5]
    for wrong in (pictures(2, 2, 4), pictures(3, 4, 2), pictures(1, 64, 64)):
        with pytest.raises(RespoError, match=r"3 of 4 × 2.*found \d of \d+ × \d"):
            fit_subject(wrong, change)


def test_scale_leaves_out_a_few_pixels() -> None:
    change = torch.full((1, 10, 100), 0.05)
    assert scale_top(change) == TOPS[0]
    change[0, 0, :20] = 0.9
    assert scale_top(change) == TOPS[0]  # one in fifty
    change[0, 0, :21] = 0.9
    assert scale_top(change) == TOPS[-1]
    change[0, 0, :21] = 0.3
    assert scale_top(change) == 0.5


def test_colours_are_infernos() -> None:
    """Matplotlib's, of 256 steps; ours are drawn through eleven of them."""
    colormaps = pytest.importorskip("matplotlib").colormaps
    level = torch.linspace(0, 1, 200)
    theirs = torch.tensor(colormaps["inferno"](level.numpy())[:, :3], dtype=torch.float32)
    assert (heat_colours(level) - theirs).abs().max() < 0.04
    brightness = heat_colours(level) @ torch.tensor([0.2126, 0.7152, 0.0722])
    assert (brightness.diff() > 0).all()
    assert heat_colours(torch.tensor([[-1.0, 2.0]])).tolist()[0] == heat_colours(torch.tensor([0.0, 1.0])).tolist()


def test_heat_lies_over_the_picture() -> None:
    picture = pictures(1, 4, 3)
    change = torch.tensor([[0.0, 0.05, 0.25, 1.0]])
    drawn = heat_over(picture, change, top=0.25)
    assert drawn.shape == (1, 4, 3)
    assert drawn[0, 0].tolist() == pytest.approx([float(drawn[0, 0, 0])] * 3)  # no change: grey
    assert float(drawn[0, 0, 0]) < float(picture[0, 0].max())
    assert torch.allclose(drawn[0, 2:], heat_colours(torch.tensor([1.0, 1.0])))
    assert not torch.allclose(drawn[0, 1], heat_colours(torch.tensor(0.2)))  # something of the picture is left


@pytest.mark.parametrize("thickness", [1, 2])
def test_outline_goes_around_the_subject(thickness: int) -> None:
    subject = torch.zeros(11, 11)
    subject[4:7, 5] = 0.8
    line = outline(subject, thickness)
    assert not line[subject > 0.5].any()
    assert int(line.sum()) == (3 + 2 * thickness) * (1 + 2 * thickness) - 3
    assert not outline(torch.zeros(5, 5), 1).any()
    assert not outline(torch.ones(5, 5), 1).any()
