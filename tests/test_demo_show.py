"""What the demo leaves behind to look at, from figures and pictures made up here."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.demo import show
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.figure import Figure


def test_grids_a_chart_and_a_page_with_all_inside(tmp_path: Path) -> None:
    run = [Drawn(job, job, np.full((7, 16, 16, 3), 99, np.uint8), ("",) * 7) for job in show.PAIRED]
    ratios = {name: dict.fromkeys(show.PAIRED, Figure(0.6, 0.3, 0.9, 7)) for name in ("before", "after")}
    show.save_pictures(tmp_path, run, run)
    show.save_chart(tmp_path / "deviation.png", ratios, 0.02)
    sizes = [Image.open(tmp_path / f"{name}.png").size for name in ("before", "before_after")]
    assert sizes == [(150 + 7 * 20, 5 * 20), (132 + 12 * 20 + 44, 44 + 5 * 20)]
    show.save_page(tmp_path, [("profession right", "98 %", "<97 %>")], "Five professions.")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    for words in ("Five professions.", "profession right", "&lt;97 %&gt;", 'alt="Deviation ratio"'):
        assert words in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)  # nothing to load
