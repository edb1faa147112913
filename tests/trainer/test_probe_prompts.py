from __future__ import annotations

from typing import Any

import pytest

from respo_train.probe.sentences import probe_prompts, stating_words, with_word
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import check_config, read_config

PRESETS_WITH_A_PROBE = ("gender", "skin_tone")


def config(**probe: Any) -> TrainConfig:
    concepts = {name: {"target": f"a {name}", "word": name} for name in ("woman", "man")}
    common = {"attribute": "gender", "purpose": "fairness", "neutral": "a person", "concepts": concepts}
    return check_config({**common, "people": ["a doctor"], "probe": {"nobody": ["a dog"], **probe}}, "mine.toml")


@pytest.mark.parametrize(
    ("phrase", "word", "wanted"),
    [
        ("a doctor", "woman", "a woman doctor"),
        ("a police officer", "man", "a man police officer"),
        ("a doctor", "old", "an old doctor"),
        ("an artist", "woman", "a woman artist"),
        ("An artist", "Asian", "an Asian artist"),
        ("doctors", "woman", "woman doctors"),
        ("two doctors", "woman", "woman two doctors"),
        ("anna", "old", "old anna"),
        ("a", "old", "old a"),
    ],
)
def test_a_word_goes_before_the_noun(phrase: str, word: str, wanted: str) -> None:
    assert with_word(phrase, word) == wanted


def test_sentences_of_a_small_preset() -> None:
    found = probe_prompts(config())
    assert found.open == ("a person", "a doctor")
    assert found.stated == (
        *("a woman person", "a man person", "a woman doctor", "a man doctor"),
        *("a woman", "a man"),
    )
    assert found.nobody == ("a dog",)


def test_details_are_open_by_themselves_and_stated_with_a_word_in_the_order_they_give() -> None:
    found = probe_prompts(config(details=["old {}", "{} young"]))
    assert found.open == (
        *("a person", "a doctor"),
        *("an old person", "a young person", "an old doctor", "a young doctor"),
    )
    assert {"an old woman doctor", "an old man person", "a woman young doctor"} <= set(found.stated)
    assert not {"a woman old doctor", "a young woman doctor"} & set(found.stated)


def test_places_and_templates_take_turns() -> None:
    found = probe_prompts(config(places=["at night"], templates=["{}", "a photo of {}"]))
    frames = ("{}", "a photo of {}", "{} at night", "a photo of {} at night")
    assert found.nobody == tuple(frame.replace("{}", "a dog") for frame in frames)
    # Three places with two templates are six frames: four for the dog, then on with the next phrase where that ended.
    found = probe_prompts(
        config(nobody=["a dog", "a fox"], places=["here", "there"], templates=["{}", "a photo of {}"])
    )
    assert found.nobody[:4] == ("a dog", "a photo of a dog", "a dog here", "a photo of a dog here")
    assert found.nobody[4:] == ("a fox there", "a photo of a fox there", "a fox", "a photo of a fox")


@pytest.mark.parametrize("preset", PRESETS_WITH_A_PROBE)
def test_sentences_of_the_shipped_presets(preset: str) -> None:
    settings = read_config(preset)
    found = probe_prompts(settings)
    words = stating_words(settings)
    assert words == [concept.word for concept in settings.concepts.values()]
    assert len(words) == len(settings.concepts)
    for text in (*found.open, *found.nobody):
        assert not set(words) & set(text.split())
    for text in found.stated:
        assert len(set(words) & set(text.split())) == 1
    everything = [*found.open, *found.stated, *found.nobody]
    assert len(set(everything)) == len(everything)
    assert not any("{" in text or "  " in text for text in everything)
    for who in settings.people:
        assert any(who in text for text in found.open)
