"""Labelled grids of pictures: every picture stands where the layout says, in every bit."""

from __future__ import annotations

import numpy as np

from respo_train.report.grid import Layout, draw_grid


def test_every_picture_is_where_the_layout_says() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 2, 20, 30, 3), dtype=np.uint8)
    layout = Layout(left=90, top=40, seam=3, group_gap=11, row_gap=7, edge=5)
    drawn = draw_grid([(f"row {i}", list(row)) for i, row in enumerate(pictures)], layout, ("a", "b", "c"), "title")
    lefts, tops, size = layout.places(2, 3, 2, 20, 30)
    assert drawn.size == size == (90 + 3 * 63 + 2 * 11 + 5, 40 + 2 * 20 + 7 + 5)
    pixels = np.asarray(drawn)
    for row, top in enumerate(tops):
        for group, places in enumerate(lefts):
            for index, left in enumerate(places):
                assert np.array_equal(pixels[top : top + 20, left : left + 30], pictures[row, group, index])


def test_a_row_may_end_earlier() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    pixels = np.asarray(draw_grid([("", [[black] * 3]), ("", [[black]])], Layout(left=0, seam=0, row_gap=0, edge=0)))
    assert pixels.shape == (16, 24, 3)
    assert (pixels == 0).all(-1).sum() == 4 * 64
    assert (pixels[8:, 8:] == 255).all()
