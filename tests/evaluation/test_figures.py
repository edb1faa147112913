"""Every figure against a case that was computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from toy_judge import SIDE, ToyJudge, ToySegmenter, painted, show

from respo_train.core.counting.metrics import bootstrap_assigned
from respo_train.core.errors import RespoError
from respo_train.evaluation.background import (
    background_psnr,
    background_psnr_of_mean,
    background_psnrs,
    identical,
    perceptual_distance,
    perceptual_distances,
)
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.figure import Figure, mean_of, ratio_of, share_of
from respo_train.evaluation.frechet import distance, features, frechet
from respo_train.evaluation.ratios import coin_flip, deviation, joint_deviation, perfect
from respo_train.evaluation.shares import accuracy, accuracy_lost, agreement, share
from respo_train.judges.emoji_world import Judge

GENDER, SKIN = ("woman", "man"), ("light", "medium", "dark")


@pytest.fixture
def judge() -> ToyJudge:
    return ToyJudge()


def test_deviation_is_over_decided_pictures_and_says_when_many_are_unsure(judge: ToyJudge) -> None:
    doctor = show("doctor", *["man"] * 3, "woman", "?", "?")
    found = deviation(judge, [doctor], "gender", GENDER)
    assert found.value == pytest.approx(0.5)  # |3/4 - 1/2| / (1/2)
    assert found.n == 6
    assert found.note == "unsure of 33.3%"


def test_five_percent_unsure_are_not_worth_a_note(judge: ToyJudge) -> None:
    assert deviation(judge, [show("doctor", *["man", "woman"] * 19, "?", "man")], "gender", GENDER).note == ""
    assert deviation(judge, [show("doctor", *["man", "woman"] * 9, "?")], "gender", GENDER).note != ""


def test_deviation_is_the_mean_over_groups_not_pictures(judge: ToyJudge) -> None:
    drawn = [show("doctor", "man", "man"), show("nurse", *["man", "woman"] * 10)]
    assert deviation(judge, drawn, "gender", GENDER).value == pytest.approx(0.5)


def test_prompts_of_one_group_are_put_together(judge: ToyJudge) -> None:
    drawn = [show("doctor", "man", "man", prompt="a"), show("doctor", "woman", "woman", prompt="b")]
    assert deviation(judge, drawn, "gender", GENDER).value == 0


def test_deviation_resamples_within_what_was_asked(judge: ToyJudge) -> None:
    asked = ["woman"] * 4 + ["man"] * 4
    drawn = [show("doctor", *["woman"] * 3, *["man"] * 5, asked=asked)]
    found = deviation(judge, drawn, "gender", GENDER)
    expected = bootstrap_assigned({"doctor": {"woman": {"woman": 3, "man": 1}, "man": {"woman": 0, "man": 4}}})
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    # Every picture as asked: nothing is left to chance.
    obedient = deviation(judge, [show("doctor", "woman", "man", asked=["woman", "man"])], "gender", GENDER)
    assert (obedient.value, obedient.low, obedient.high) == (0, 0, 0)


def test_joint_deviation_is_over_all_cells(judge: ToyJudge) -> None:
    cells = [f"{g} {s}" for g in GENDER for s in SKIN]
    both = {"gender": GENDER, "skin": SKIN}
    assert joint_deviation(judge, [show("doctor", *cells)], both).value == pytest.approx(0)
    # Each attribute alone is perfect, together only two of four cells occur: |1/2 - 1/4| / (3/4)
    tied = show("doctor", "woman light", "man dark")
    pair = {"gender": GENDER, "skin": ("light", "dark")}
    assert deviation(judge, [tied], "gender", GENDER).value == 0
    assert joint_deviation(judge, [tied], pair).value == pytest.approx(1 / 3)
    # Sure of the one, unsure of the other: not decided.
    assert joint_deviation(judge, [show("doctor", "woman light", "man")], pair).note == "unsure of 50.0%"


def test_groups_without_a_decided_picture_are_left_out_and_named(judge: ToyJudge) -> None:
    found = deviation(judge, [show("doctor", "?"), show("nurse", "woman", "man")], "gender", GENDER)
    assert found.value == 0
    assert "left out, as the judge is sure of none: doctor" in found.note
    nobody = deviation(judge, [show("doctor", "?", "?")], "gender", GENDER)
    assert math.isnan(nobody.value)
    assert "sure of none of 2" in nobody.note
    assert nobody.to_dict() == {"value": None, "low": None, "high": None, "n": 2, "note": nobody.note}


def test_perfect_and_coin_flip(judge: ToyJudge) -> None:
    three = show("doctor", "?", "?", "?", asked=["woman, dark", "woman, light", "man, dark"])
    assert perfect([three], GENDER).value == pytest.approx(1 / 3)  # 2 of 3
    # A third each of three of the six cells: (1/3 - 1/6) / (5/6)
    assert perfect([three], GENDER, SKIN).value == pytest.approx(0.2)
    # Two pictures: half the time both are the same, which is a ratio of 1, else 0.
    coins = coin_flip([show("doctor", "?", "?")], GENDER)
    assert coins.value == pytest.approx(0.5, abs=0.02)
    assert coin_flip([show("doctor", "?")], GENDER, SKIN).value == pytest.approx(1)
    with pytest.raises(RespoError, match="asked to show one of woman, man, found ''"):
        perfect([show("doctor", "?")], GENDER)


def test_accuracy_counts_unsure_as_wrong(judge: ToyJudge) -> None:
    drawn = [show("doctor", "doctor", "nurse", "?", "doctor")]
    found = accuracy(judge, drawn)
    assert (found.value, found.n, found.note) == (0.5, 4, "unsure of 25.0%")
    assert found.low < 0.5 < found.high


def test_what_is_lost_is_paired(judge: ToyJudge) -> None:
    # 18 pictures are right in both, 2 are wrong in both: nothing is lost, and no resampling says otherwise.
    same = [show("doctor", *["doctor"] * 18, *["nurse"] * 2)]
    lost = accuracy_lost(judge, same, [show("doctor", *["doctor"] * 18, *["nurse"] * 2)])
    assert (lost.value, lost.low, lost.high) == (0, 0, 0)
    worse = accuracy_lost(judge, same, [show("doctor", *["doctor"] * 15, *["nurse"] * 5)])
    assert worse.value == pytest.approx(0.15)
    assert 0 <= worse.low < 0.15 < worse.high
    with pytest.raises(RespoError, match="same pictures before and after"):
        accuracy_lost(judge, same, [show("nurse", *["doctor"] * 20)])


def test_agreement_looks_at_the_part_that_the_attribute_was_asked(judge: ToyJudge) -> None:
    asked = ["woman, dark", "woman, light", "man, dark", ""]
    drawn = [show("doctor", "woman light", "woman light", "woman dark", "man", asked=asked)]
    assert agreement(judge, drawn, "gender").value == pytest.approx(2 / 3)
    assert agreement(judge, drawn, "skin").value == pytest.approx(2 / 3)
    assert agreement(judge, drawn, "gender").n == 3
    with pytest.raises(RespoError, match="asked to show something of 'gender'"):
        agreement(judge, [show("doctor", "woman")], "gender")


def test_unsure_counts_against_what_must_not_be_seen(judge: ToyJudge) -> None:
    drawn = [show("doctor", "woman", "?", "man", "man")]
    assert share(judge, drawn, "gender", "woman").value == 0.25
    assert share(judge, drawn, "gender", "woman", unsure_counts=True).value == 0.5
    with pytest.raises(RespoError, match=r"knows for 'gender' \(woman, man\), found 'robot'"):
        share(judge, drawn, "gender", "robot")
    with pytest.raises(RespoError, match="gender, skin, profession"):
        accuracy(judge, drawn, "weapon")


def test_none_of_few_does_not_mean_never(judge: ToyJudge) -> None:
    found = share(judge, [show("doctor", *["man"] * 60)], "gender", "woman")
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert found.note == "none of 60: the true share may be 5 % away"


def test_bootstrap_interval_is_as_wide_as_theory_says() -> None:
    # 400 pictures, half of them: the standard error is .025.
    flags = np.tile([True, False], 200)
    drawn = [painted("doctor", *[0] * 400)]
    found = share_of(flags, drawn)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.025, rel=0.06)


def test_means_are_resampled_within_their_strata() -> None:
    # Two groups that differ much, each without any spread: no resample can change the mean.
    drawn = [painted("doctor", *[0] * 5), painted("nurse", *[0] * 5)]
    assert mean_of(np.array([1.0] * 5 + [9.0] * 5), drawn) == Figure(5, 5, 5, 10)
    asked = [painted("doctor", *[0] * 10).asking(["woman"] * 5 + ["man"] * 5)]
    assert mean_of(np.array([1.0] * 5 + [9.0] * 5), asked) == Figure(5, 5, 5, 10)


def test_a_ratio_of_rates_is_of_the_same_pictures() -> None:
    drawn = [painted("doctor", *[0] * 10)]
    often, seldom = np.array([True] * 8 + [False] * 2), np.array([True] * 2 + [False] * 8)
    found = ratio_of(often, seldom, drawn, "none")
    assert found.value == pytest.approx(0.25)
    assert found.low < 0.25 < found.high < 1
    same = ratio_of(often, often, drawn, "none")
    assert (same.value, same.low, same.high) == (1, 1, 1)
    nothing = ratio_of(np.zeros(10, bool), often, drawn, "none before")
    assert math.isnan(nothing.value)
    assert nothing.note == "none before"


def test_identical_is_in_every_bit() -> None:
    before, after = painted("doctor", 100, 100), painted("doctor", 100, 100)
    after.images[1, 0, 0, 2] += 1
    assert identical([before], [after]).value == 0.5


def test_few_pictures_are_not_taken_for_certain() -> None:
    one_each = [painted("doctor", *[0] * 6).asking(["a", "b", "c", "d", "e", "f"])]
    found = mean_of(np.array([1, 1, 1, 9, 9, 9.0]), one_each)
    assert found.low < 3 < 7 < found.high
    # Groups of three each: among all.
    small = [painted("doctor", 0, 0, 0), painted("nurse", 0, 0, 0)]
    assert mean_of(np.array([1, 1, 1, 9, 9, 9.0]), small) == found


def test_background_psnr_by_hand() -> None:
    # One level of 255 apart: 20 log10(255) = 48.13 dB.
    before, after = [painted("doctor", 100, 100)], [painted("doctor", 101, 100)]
    values = background_psnrs(ToySegmenter(), before, after)
    assert values == pytest.approx([48.1308, 100], abs=1e-3)
    found = background_psnr(ToySegmenter(), before, after)
    assert found.value == pytest.approx(74.065, abs=1e-3)
    assert found.note == "1 identical, at 100 dB"
    # An untouched picture halves the mean error: 3.01 dB more, whatever it counts by itself.
    assert background_psnr_of_mean(ToySegmenter(), before, after).value == pytest.approx(51.1411, abs=1e-3)


def test_background_is_outside_both_persons() -> None:
    # A person in one of the two only: its rows count in neither, all else is the same.
    before, after = [painted("doctor", 100)], [painted("doctor", 100, persons=2)]
    assert background_psnrs(ToySegmenter(), before, after) == pytest.approx([100])
    assert background_psnrs(ToySegmenter(), after, before) == pytest.approx([100])
    full = background_psnr(ToySegmenter(), before, [painted("doctor", 100, persons=SIDE)])
    assert math.isnan(full.value)
    assert "1 left out: nothing but persons" in full.note


@pytest.fixture(scope="module")
def network() -> Judge:
    """A judge with random weights: what is measured does not depend on what it knows."""
    import torch

    torch.manual_seed(0)
    return Judge({"gender": GENDER}, {"gender": 0.0}).eval()


def noise(seed: int, count: int = 3, persons: int = 0) -> Drawn:
    images = np.random.default_rng(seed).integers(0, 255, (count, 64, 64, 3), dtype=np.uint8)
    images[:, :persons] = (0, 255, 0)
    return Drawn("doctor", "doctor", images, ("",) * count)


def test_perceptual_distance_is_blind_to_what_persons_do(network: Judge) -> None:
    segmenter = ToySegmenter()
    first = noise(1, persons=32)
    other = Drawn("doctor", "doctor", first.images.copy(), first.asked)
    other.images[:, :16] = (7, 7, 7)  # the other picture's person is smaller: still inside of one of the two
    assert perceptual_distances(network, [first], [other], segmenter) == pytest.approx([0, 0, 0])
    other.images[:, 40:] += 60
    assert (perceptual_distances(network, [first], [other], segmenter) > 0.001).all()
    far = perceptual_distance(network, [first], [noise(2, persons=32)], segmenter)
    assert 0 < far.value <= 4
    with pytest.raises(RespoError, match="feature maps"):
        perceptual_distance(ToyJudge(), [first], [other], segmenter)


def test_frechet_distance_by_hand() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 2)) * [1, 2]
    y = rng.normal(size=(5000, 2)) * [3, 2] + [5, 0]
    # Normal: |(5, 0)|² + (1 - 3)² + (2 - 2)²
    assert distance(x, y) == pytest.approx(29, rel=0.02)
    assert distance(x, x) == pytest.approx(0, abs=1e-6)
    # Turned, the covariances do not commute any more; the distance stays.
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    assert distance(x @ turn, y @ turn) == pytest.approx(distance(x, y))
    # Fewer pictures than features.
    assert distance(np.eye(3), np.eye(3)) == pytest.approx(0, abs=1e-9)


def test_frechet_of_pictures(judge: ToyJudge) -> None:
    rng = np.random.default_rng(0)
    drawn = [painted("doctor", *rng.integers(90, 110, 40)), painted("nurse", *rng.integers(90, 110, 40))]
    rows = features(judge, drawn)
    assert rows.shape == (80, 3)
    found = frechet(judge, drawn, rows + np.array([10, 0, 0]))
    assert found.value == pytest.approx(100)
    assert found.low < 100 < found.high
    assert found.note == ""
    assert math.isnan(frechet(judge, [painted("doctor", 1)], rows).value)
    assert "fewer pictures than the 3 features" in frechet(judge, [painted("doctor", 1, 5)], rows).note


def test_no_pictures_are_no_figure(judge: ToyJudge) -> None:
    nothing = [Drawn("doctor", "doctor", np.zeros((0, SIDE, SIDE, 3), np.uint8), ())]
    for found in (
        deviation(judge, nothing, "gender", GENDER),
        accuracy(judge, nothing),
        background_psnr(ToySegmenter(), nothing, nothing),
        background_psnr_of_mean(ToySegmenter(), nothing, nothing),
        coin_flip(nothing, GENDER),
        deviation(judge, [], "gender", GENDER),
    ):
        assert math.isnan(found.value)
        assert found.n == 0


def test_the_judge_looks_once(judge: ToyJudge) -> None:
    drawn = [show("doctor", "woman", "man")]
    deviation(judge, drawn, "gender", GENDER)
    accuracy(judge, drawn)
    share(judge, drawn, "skin", "dark")
    assert judge.looked_at == 2
    accuracy(ToyJudge(), drawn)  # another judge has to look for itself
    assert judge.looked_at == 2


@pytest.mark.parametrize(
    ("images", "asked"),
    [
        (np.zeros((2, 4, 4, 3), np.uint8), ("",)),
        (np.zeros((2, 4, 4, 3)), ("", "")),
        (np.zeros((4, 4, 3), np.uint8), ("",) * 4),
        (np.zeros((2, 4, 4, 4), np.uint8), ("", "")),
    ],
)
def test_pictures_have_to_be_pictures(images: np.ndarray, asked: tuple[str, ...]) -> None:
    with pytest.raises(RespoError, match="expected"):
        Drawn("doctor", "doctor", images, asked)
