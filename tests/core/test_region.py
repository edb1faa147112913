from __future__ import annotations

import pytest
import torch

from respo_train.core.errors import RespoError
from respo_train.core.pictures import region
from respo_train.core.pictures.attention import attention_weights, fitted
from respo_train.core.pictures.region import (
    attention_to_words,
    blurred,
    changed,
    places_of,
    quantile_of,
    share_of_words,
    shares_at,
    subject,
    word_marks,
)

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
    attention = (weights @ word_marks([4, 5], [1, 2, 3], 8))[..., :2]
    assert share_of_words(attention)[0].tolist() == pytest.approx([0.75, 0.25])
    assert share_of_words(torch.zeros(1, 1, 2)).tolist() == [[0.0]]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("width", [4, 320])  # of a head: narrower and wider than the marks
def test_attention_to_words_is_the_layers_own(width: int, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region, "fuses_exactly", lambda device: fused)
    heads, drawn = 3, torch.Generator().manual_seed(0)
    q, k = (torch.randn(2, n, heads * width, generator=drawn) / width**0.25 for n in (10, 8))
    weights = attention_weights(q, k, heads)
    found = attention_to_words(q, k, word_marks([4, 5], [1, 2, 3], 8), heads)
    torch.testing.assert_close(found[..., 0], weights[:, :, [4, 5]].sum(2))
    torch.testing.assert_close(found[..., 1], weights[:, :, 1:4].sum(2))


def test_shares_of_layers_of_several_sizes_are_averaged() -> None:
    sizes = [(4, 4), (4, 4), (2, 2), (4, 4)]
    layers = [(torch.rand(3, height * width, 2) + 0.1, (height, width)) for height, width in sizes]
    pictures = [share_of_words(own).unflatten(1, size)[:, None] for own, size in layers]
    wanted = torch.stack([fitted(picture, (2, 2)) for picture in pictures]).mean(0)
    torch.testing.assert_close(shares_at(layers, (2, 2)), wanted)


@pytest.mark.parametrize("count", [1, 2, 5, 64, 101, 4096])
def test_quantiles_are_those_of_torch(count: int) -> None:
    values = torch.randn(3, count, generator=torch.Generator().manual_seed(count))
    for q in (0.1, 0.9):
        found = quantile_of(values.sort(dim=1).values, q)
        assert torch.equal(found, torch.quantile(values, q, dim=1))


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
