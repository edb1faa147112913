"""What the demo leaves behind to look at, from figures and pictures made up here."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.demo import show
from benchmarks.scoring import Score
from respo_train.evaluation.figure import Figure


def score(value: float) -> Score:
    figure = Figure(value, value / 2, value * 1.5, 9)
    return Score({"doctor": figure, "nurse": figure}, figure, 0.98, 0.01)


def test_grids_a_chart_and_a_page_with_all_inside(tmp_path: Path) -> None:
    run = {job: np.full((7, 16, 16, 3), 99, np.uint8) for job in ("doctor", "nurse")}
    show.save_grid(tmp_path / "before.png", run)
    show.save_pair(tmp_path / "pair.png", run, run)
    show.save_chart(tmp_path / "chart.png", score(0.6), score(0.1), 0.02)
    sizes = [Image.open(tmp_path / f"{name}.png").size for name in ("before", "pair", "chart")]
    assert sizes[:2] == [(150 + 7 * 20, 2 * 20), (132 + 12 * 20 + 44, 44 + 2 * 20)]
    rows = [("profession right", "98 %", "<97 %>")]
    show.save_page(tmp_path / "index.html", rows, "Two professions.", [("A chart", tmp_path / "chart.png")])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    for words in ("Two professions.", "profession right", "&lt;97 %&gt;", 'alt="A chart"'):
        assert words in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)  # nothing to load
