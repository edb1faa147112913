"""Compare through the host: what comes out, how its sheets are laid out, what it refuses."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

NODE = "RespoCompare"
LONGEST = 4096


@pytest.fixture(scope="module")
def parts(pack: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(compare=pack.root.nodes.compare, drawing=pack.root.nodes.pictures.sheets)


def pictures(count: int = 2, height: int = 64, width: int = 64, seed: int = 0) -> Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(seed)) * 0.5


def half_changed(before: Tensor) -> Tensor:
    """Its left half brighter by .4."""
    after = before.clone()
    after[:, :, : before.shape[2] // 2] += 0.4
    return after


def test_outputs(run_node):
    before = pictures()
    given = before.clone()
    mask = torch.zeros(1, 64, 64)
    mask[:, :32] = 1
    result = run_node(NODE, before=before, after=half_changed(before), mask=mask, labels="woman\nman")
    grid, heat, outside, text = result.args
    assert grid.shape[0] == heat.shape[0] == 1
    assert grid.shape[-1] == heat.shape[-1] == 3
    assert outside == pytest.approx(0.5, abs=1e-5)
    assert text.startswith("2 pairs: changed by 20 % of the full range on average.")
    assert "Outside the mask lies 50 %" in text
    assert result.ui["text"] == (text,)
    assert len(result.ui["images"]) == 1
    assert torch.equal(before, given)


def test_without_a_mask_all_is_outside(run_node):
    before = pictures()
    result = run_node(NODE, before=before, after=half_changed(before))
    assert result[2] == 1
    assert "Link a mask" in result[3]
    same = run_node(NODE, before=before, after=before.clone())
    assert same[2] == 0
    assert "no difference at all" in same[3]


def test_numbers_stay_numbers(run_node):
    """NaN would stop the nodes behind this one."""
    broken = torch.full((1, 8, 8, 3), math.nan)
    result = run_node(NODE, before=pictures(1, 8, 8), after=broken, mask=torch.full((1, 8, 8), math.nan))
    assert result[2] == 1
    assert all(torch.isfinite(image).all() for image in result.args[:2])


def test_both_pictures_are_on_the_sheet(parts):
    """Every picture is found, unscaled, the one before above the one after, in the order of the batch."""
    before, after = pictures(8, 128, 128), pictures(8, 128, 128, seed=1)
    sheet = parts.drawing.to_image(parts.compare.pairs(before, after, ["woman"] * 8))[0]
    stored = [parts.drawing.to_image(parts.drawing.to_picture(image))[0] for image in (*before, *after)]
    places = [place_of(sheet, image) for image in stored]
    assert len(set(places)) == 16
    tops, lefts = zip(*places, strict=True)
    assert lefts[:8] == lefts[8:]
    assert all(above + 128 < below for above, below in zip(tops[:8], tops[8:], strict=True))
    assert sorted(places[:8]) == places[:8]


def place_of(sheet: Tensor, picture: Tensor) -> tuple[int, int]:
    """(top, left) of the one place where the picture's first rows stand on the sheet."""
    found = (sheet == picture[0, 0]).all(-1).nonzero().tolist()
    height, width = picture.shape[:2]
    matches = [(y, x) for y, x in found if torch.equal(sheet[y : y + height, x : x + width], picture)]
    (place,) = matches
    return place


def test_labels_change_the_sheet_below_their_picture_alone(parts):
    images = pictures(2, 64, 64)
    plain, labelled = (
        parts.drawing.to_image(parts.compare.pairs(images, images, labels))[0] for labels in (["", ""], ["", "man"])
    )
    assert plain.shape == labelled.shape
    ys, xs = (plain != labelled).any(-1).nonzero(as_tuple=True)
    assert len(ys)
    assert int(xs.min()) > plain.shape[1] // 2


@pytest.mark.parametrize(
    ("count", "height", "width"),
    [
        (1, 8, 8),
        (1, 4096, 4096),
        (64, 32, 32),
        (64, 256, 256),
        (7, 1024, 64),
        (7, 64, 1024),
        (64, 2048, 8),
        (64, 8, 2048),
    ],
)
def test_every_sheet_has_a_sane_size(parts, count, height, width):
    picture = Image.new("RGB", (width, height))
    rows = [("before", [picture] * count), ("after", [picture] * count)]
    scale = parts.drawing.Scale(Image.new("RGB", (256, 1)), ("0 %", "50 %", "100 %"), "Change")
    drawn = parts.drawing.sheet(rows, ["a label\nmean 3 %"] * count, scale)
    assert max(drawn.size) <= LONGEST
    assert min(drawn.size) >= 100


def test_long_and_foreign_labels_stay_within_their_column(parts):
    fitted = parts.drawing._fitted("a very long label " * 10, 13, 100)
    assert fitted.endswith("…")
    assert parts.drawing._width(fitted, 13) <= 100
    assert parts.drawing._fitted("médecin", 13, 100) == "medecin"
    assert parts.drawing._fitted("", 13, 0) == ""


def test_a_large_batch_is_shown_in_part(run_node, parts):
    before = pictures(70, 8, 8)
    result = run_node(NODE, before=before, after=half_changed(before), labels="\n".join(["x"] * 70))
    assert "70 pairs" in result[3]
    assert "first 64" in result[3]
    shown = parts.compare.pairs(before[:64], half_changed(before[:64]), ["x"] * 64)
    assert tuple(result[0].shape[1:3]) == (shown.height, shown.width)


def test_the_masks_edge_is_drawn(parts):
    images = torch.zeros(1, 64, 64, 3)
    mask = torch.zeros(1, 64, 64)
    mask[:, 20:40, 20:40] = 1
    change = torch.zeros(1, 64, 64)
    drawn = parts.drawing.to_image(parts.compare.heat_sheet(images, change, mask, [""]))[0]
    assert int((drawn == 1).all(-1).sum()) == 22 * 22 - 20 * 20


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "sizes": ({"after": pictures(2, 64, 32)}, r"2 of 64 × 64 before and 2 of 32 × 64 after"),
    "numbers": ({"after": pictures(3)}, r"2 of 64 × 64 before and 3 of 64 × 64 after"),
    "mask": ({"mask": torch.zeros(1, 32, 32)}, r"mask of the pictures' size, 2 of 64 × 64.*1 of 32 × 32"),
    "labels": ({"labels": "woman"}, "each of the 2 pictures"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(run_node, pack, case):
    given, words = REFUSED[case]
    with pytest.raises(pack.core.errors.RespoError, match=words):
        run_node(NODE, **{"before": pictures(), "after": pictures(), **given})


def test_an_old_pillow_is_named(parts, pack, monkeypatch):
    def old(**_: Any) -> None:
        raise TypeError

    parts.drawing._font.cache_clear()
    monkeypatch.setattr(parts.drawing.ImageFont, "load_default", old)
    with pytest.raises(pack.core.errors.RespoError, match=r"Pillow 10\.1"):
        parts.drawing._font(13)
