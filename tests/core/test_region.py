from __future__ import annotations

import pytest
import torch

from respo_train.core.errors import RespoError
from respo_train.core.pictures.region import blurred, changed, places_of, share_of_words, subject

PROMPT = (None, 7, 8, 7, 9, 4, None, None)  # begin, "a photo a police officer", end, padding


def test_places_of_words_and_of_the_others() -> None:
    assert places_of("photo", PROMPT, [(None, 8, None)]) == ([2], [1, 3, 4, 5])
    assert places_of("police officer", PROMPT, [(None, 9, 4, None, None)]) == ([4, 5], [1, 2, 3])
    assert places_of("a", PROMPT, [(None, 7, None)]) == ([1, 3], [2, 4, 5])
    assert places_of("officer, photo", PROMPT, [(None, 4, None), (None, 8, None)]) == ([2, 5], [1, 3, 4])


def test_words_that_cannot_be_found() -> None:
    for phrase in ((None, 5, None), (None, 4, 9, None), (None, None)):
        with pytest.raises(RespoError, match="none of them is in the prompt"):
            places_of("robot", PROMPT, [phrase])
    with pytest.raises(RespoError, match="whole prompt"):
        places_of("a photo a police officer", PROMPT, [PROMPT])


def test_share_is_among_the_prompts_words_only() -> None:
    weights = torch.zeros(1, 2, 8)
    weights[0, 0] = torch.tensor([0.9, 0.01, 0.01, 0.0, 0.06, 0.0, 0.02, 0.0])
    weights[0, 1] = torch.tensor([0.2, 0.2, 0.1, 0.0, 0.1, 0.0, 0.4, 0.0])
    assert share_of_words(weights, [4, 5], [1, 2, 3])[0].tolist() == pytest.approx([0.75, 0.25])
    assert share_of_words(torch.zeros(1, 1, 8), [4], [1]).tolist() == [[0.0]]


def test_subject_is_where_the_share_is_large() -> None:
    shares = torch.full((2, 1, 12, 12), 0.1)
    shares[0, :, 3:9, 3:9] = 0.2  # of another height in each picture
    shares[1, :, :4] = 0.9
    shares[1, 0, 0, 0] = 30.0  # one hot pixel does not hide the others
    masks = subject(shares)
    assert masks.shape == shares.shape
    assert masks[0, 0, 4:8, 4:8].min() == 1
    assert masks[0, 0, 0].max() == 0
    assert masks[1, 0, 1:3, 3:].min() == 1
    assert masks[1, 0, 7:].max() == 0
    assert subject(torch.full((1, 1, 4, 4), 0.3)).max() == 0  # nowhere more than elsewhere


def test_subject_rises_early_in_the_stretch() -> None:
    """On a ramp, of which the lowest and highest tenth are no part of the stretch."""
    ramp = torch.linspace(0, 1, 101).expand(1, 1, 3, 101) * 0.2 + 0.5
    mask = subject(ramp)[0, 0, 1]
    stretch = (torch.linspace(0, 1, 101) - 0.1) / 0.8
    assert mask[stretch < 0.14].max() == 0
    assert mask[stretch > 0.36].min() == 1
    inside = (stretch > 0.16) & (stretch < 0.34)
    assert torch.allclose(mask[inside], (stretch[inside] - 0.15) / 0.2, atol=0.02)


def test_subject_does_not_see_single_pixels() -> None:
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(24), indexing="ij")
    shares = torch.where(columns < 12, 0.2, 0.6) + 0.15 * (-1.0) ** (rows + columns)
    mask = subject(shares[None, None])[0, 0]
    assert mask[:, :11].max() == 0
    assert mask[:, 13:].min() == 1


def test_changed_is_half_at_the_threshold() -> None:
    before = torch.zeros(1, 4, 8, 16)
    after = before.clone()
    after[..., 8:] = 1
    after[:, 0, :, :8] = 0.8  # root mean square over the channels: .4
    assert changed(after, before, 0.4)[0, 0, 4, 2].item() == pytest.approx(0.5, abs=1e-5)
    assert changed(after, before, 0.42)[0, 0, 4, 2].item() == pytest.approx(0.3, abs=1e-5)
    assert changed(after, before, 0.46)[0, 0, 4, 2] == 0
    assert changed(after, before, 0.34)[0, 0, 4, 2] == 1


def test_changed_goes_by_a_pixels_surroundings() -> None:
    after = torch.zeros(1, 4, 8, 8)
    after[0, 1, 3, 3] = 1
    mask = changed(after, torch.zeros_like(after), 0.33)[0, 0]
    assert mask[2:5, 2:5].min() == 1
    assert mask.sum() == 9


def test_changed_is_relative_to_the_largest_change() -> None:
    before = torch.randn(2, 4, 16, 16)
    after = before.clone()
    after[0, :, 4:8, 4:8] += 5
    after[0, :, 12:, 12:] += 1
    after[1, :, 12:, 12:] += 1e-3
    masks = changed(after, before, 0.4)
    assert masks.shape == (2, 1, 16, 16)
    assert masks[0, 0, 5:7, 5:7].min() == 1
    assert masks[0, 0, 12:, 12:].max() == 0
    assert masks[0, 0, :3].max() == 0
    assert masks[1, 0, 13:, 13:].min() == 1
    assert changed(after, before, 0.1)[0, 0, 13:, 13:].min() == 1
    assert changed(before, before, 0.4).max() == 0
    assert changed(before.half(), before.half(), 0.4).max() == 0


def test_blurred_is_the_mean_of_neighbours() -> None:
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 9
    assert torch.allclose(blurred(x)[0, 0, 1:4, 1:4], torch.ones(3, 3))
    assert blurred(torch.ones(1, 1, 3, 3)).eq(1).all()
