"""The benchmark of Background: the low band that it compares the node's with."""

from __future__ import annotations

import pytest
import torch

from benchmarks.background import SETTINGS, fourier_band


def wave(times: float) -> torch.Tensor:
    """A plane wave that goes up and down so many times over eight values, `[1, 1, 8, 8]`."""
    return torch.cos(2 * torch.pi * times * torch.arange(8) / 8).expand(1, 1, 8, 8)


@pytest.mark.parametrize(("times", "kept"), [(0, 1), (1, 1), (2, 0.5), (3, 0), (4, 0)])
def test_slow_waves_stay_and_fast_ones_go(times, kept):
    assert torch.allclose(fourier_band(wave(times), 1), kept * wave(times), atol=1e-6)


def test_a_further_level_keeps_half_as_many():
    assert torch.allclose(fourier_band(wave(1), 2), wave(1) / 2, atol=1e-6)


def test_no_two_rows_are_called_alike():
    assert len({row.name for row in SETTINGS}) == len(SETTINGS)
