from __future__ import annotations

import pytest
import pywt
import torch
from hypothesis import given
from hypothesis import strategies as st

from respo_train.core.errors import RespoError
from respo_train.core.pictures.frequency import block_means, low_band, spread


# "Level value is too high": a few pixels are all the bottleneck has.
@pytest.mark.filterwarnings("ignore:Level value")
@given(st.integers(2, 19), st.integers(2, 19), st.integers(1, 4))
def test_equals_pywavelets(height: int, width: int, levels: int) -> None:
    """PyWavelets doubles odd edges level by level; blocks of 2 ** levels, averaged at once, would not be the same."""
    h = torch.randn(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(height))
    coefficients = pywt.wavedec2(h.numpy(), "db1", mode="symmetric", level=levels)
    without_details = [coefficients[0]] + [tuple(d * 0 for d in band) for band in coefficients[1:]]
    expected = pywt.waverec2(without_details, "db1", mode="symmetric")[..., :height, :width]
    torch.testing.assert_close(low_band(h, levels), torch.from_numpy(expected))


def test_is_the_repeated_block_mean() -> None:
    h = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(low_band(h)[0, 0, :2], torch.tensor([[2.5, 2.5, 4.5, 4.5]] * 2))
    assert torch.equal(low_band(h, 2), torch.full_like(h, 7.5))


def test_keeps_shape_dtype_and_input() -> None:
    h = torch.randn(1, 2, 1, 5, dtype=torch.bfloat16)
    before = h.clone()
    low = low_band(h)
    assert (low.shape, low.dtype) == (h.shape, h.dtype)
    assert torch.equal(h, before)


def test_refuses_no_levels() -> None:
    with pytest.raises(RespoError, match="at least one level"):
        low_band(torch.zeros(1, 1, 2, 2), 0)


@given(st.integers(1, 19), st.integers(1, 19), st.integers(1, 5))
def test_block_means_are_all_it_takes(height: int, width: int, levels: int) -> None:
    h = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(width))
    means = block_means(h)
    assert means.shape == (2, 3, (height + 1) // 2, (width + 1) // 2)
    assert torch.equal(spread(means, height, width, levels), low_band(h, levels))


def test_a_band_twice_is_the_same_band() -> None:
    """Block means of block means: what is repeated within a block keeps its mean, odd edges too."""
    h = torch.randn(1, 2, 7, 10, dtype=torch.float64)
    for levels in range(1, 5):
        torch.testing.assert_close(low_band(low_band(h, levels), levels), low_band(h, levels))


def test_refuses_means_of_another_size() -> None:
    with pytest.raises(RespoError, match=r"block means of 6 x 4 values, found \[2, 2\]"):
        spread(torch.zeros(1, 1, 2, 2), 6, 4)
