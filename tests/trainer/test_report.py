from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from respo_train.report.plots import save_loss_plot, smooth
from respo_train.trainer import Losses


@pytest.mark.parametrize(
    "losses", [[], [Losses(0.0, 0.0)], [Losses(0.0, 0.0)] * 9, [Losses(1.0, 0.0), Losses(1e-9, 2.0)]]
)
@pytest.mark.filterwarnings("error")
def test_plots_whatever_there_is(tmp_path: Path, losses: list[Losses]) -> None:
    save_loss_plot(tmp_path / "plot.png", {"woman": losses, "man": losses})
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_smoothing_is_the_running_mean() -> None:
    assert smooth(np.array([4.0, 2.0, 0.0, 6.0]), span=2).tolist() == [4, 3, 1, 3]
    assert smooth(np.full(50, 3.0)).tolist() == [3] * 50
