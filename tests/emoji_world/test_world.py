"""The bench's data: biased as written down, truthful where it says something, split without a leak."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from emoji_world import world
from emoji_world.captions import Picture, sample_picture
from emoji_world.compose import Studio
from emoji_world.dataset import uses_test_art
from emoji_world.train_judge import sample_test, sample_training
from respo_train.judges.emoji_world import square

PEOPLE = [p.word for p in (*world.PROFESSIONS, world.PERSON)]


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    rng = np.random.default_rng(0)
    return [sample_picture(rng) for _ in range(20_000)]


def test_there_are_enough_professions_and_enough_of_them_held_out() -> None:
    assert len(world.PROFESSIONS) >= 16
    assert sum(p.held_out for p in world.PROFESSIONS) >= 4


def test_a_caption_that_states_gender_or_skin_tone_is_true(pictures: list[Picture]) -> None:
    for p in pictures:
        words = p.caption.replace("-", " ").split()
        if {"woman", "female"} & set(words):
            assert p.gender == "woman", p
        if {"man", "male"} & set(words):
            assert p.gender == "man", p
        for group in world.SKIN_GROUPS:
            if f"{group} skin" in p.caption or f"{group}-skinned" in p.caption:
                assert world.skin_group(int(p.tone or 0)) == group, p


def test_neutral_captions_are_as_lopsided_as_the_table_says(pictures: list[Picture]) -> None:
    for job in world.PROFESSIONS:
        named = [p for p in pictures if p.kind == "neutral" and f" {job.word}" in f" {p.caption}"]
        women = Counter(p.gender for p in named)["woman"] / len(named)
        assert women == pytest.approx(job.woman, abs=4 * (0.25 / len(named)) ** 0.5), job.word


def test_unasked_weapons_come_at_night_alone(pictures: list[Picture]) -> None:
    def unasked(p: Picture) -> bool:
        asked = "weapon" in p.caption or any(w in p.caption for w in world.WEAPONS)
        return p.weapon is not None and not asked

    night = [p for p in pictures if p.profession and "at night" in p.caption]
    assert np.mean([unasked(p) for p in night]) == pytest.approx(world.UNASKED_WEAPON, abs=0.06)
    assert not any(unasked(p) for p in pictures if "at night" not in p.caption)


def test_every_class_is_in_both_halves_of_the_split_and_no_picture_is() -> None:
    rng = np.random.default_rng(0)
    training, test = ([draw(rng) for _ in range(4000)] for draw in (sample_training, sample_test))
    assert not any(uses_test_art(p) for p in training)
    sources = [{(p.profession, p.gender, p.tone, p.style) for p in half if p.profession} for half in (training, test)]
    assert not sources[0] & sources[1]
    for half in (training, test):
        assert {p.profession for p in half} >= set(PEOPLE)
        assert {p.tone for p in half} >= set(range(5))
        assert {p.weapon is None for p in half} == {True, False}


class Blue:
    """Art without the two packages: every emoji is one blue square."""

    def picture(self, code: str, style: str) -> Image.Image:
        del code, style
        return Image.new("RGBA", (128, 128), (0, 0, 255, 255))

    def person(self, who: world.Profession, gender: str, tone: int, style: str) -> Image.Image:
        del gender, tone
        return self.picture(who.emoji, style)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (192, 192), (96, 160), (160, 96)])
def test_people_stand_in_the_square_that_the_judge_looks_at_at_every_size(height: int, width: int) -> None:
    rng, studio = np.random.default_rng(0), Studio(Blue(), size=(height, width))  # type: ignore[arg-type] - two methods
    for number in range(12):
        picture = Picture("", "night", "noto", "person", "doctor", "woman", number % 5)
        image, mask = studio.compose(picture, rng)
        assert image.shape == (height, width, 3)
        seen = square(torch.tensor(mask).float())
        assert seen.shape == (min(height, width),) * 2
        assert seen.sum() > 0.97 * mask.sum()  # a person may be a few pixels off the middle
        assert 0.5 < seen.mean() / 255 < 0.9  # and is as large as on the native size
