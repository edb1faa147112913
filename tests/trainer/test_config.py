from __future__ import annotations

from pathlib import Path

import pytest

from respo_train.core.errors import RespoError
from respo_train.settings.preset_files import PRESETS, check_config, read_config

CONCEPTS = {"woman": {"target": "a woman"}}
SAFETY = {"violence": {"negative": "violence", "word": "violent"}}
PEOPLED = {"people": ["a doctor"], "concepts": {"woman": {"target": "a woman", "word": "woman"}}}
MANY = ["a {}"] * 400  # what is put together of 100 kB of text could be 10^9 sentences
GOOD = {"attribute": "gender", "purpose": "fairness", "neutral": "a person", "concepts": CONCEPTS}


def test_gender_preset() -> None:
    config = read_config("gender")
    assert (config.attribute, config.purpose, config.neutral) == ("gender", "fairness", "a person")
    assert {name: concept.target for name, concept in config.concepts.items()} == {"woman": "a woman", "man": "a man"}


def test_presets_are_valid_and_come_back() -> None:
    for preset in PRESETS.glob("*.toml"):
        config = read_config(preset.stem)
        assert check_config(config.to_dict(), "again") == config


def test_own_file_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        (PRESETS / "gender.toml").read_text() + '\n[concepts."old man"]\ntarget = "an old man"\nword = "old man"\n'
    )
    config = read_config(str(path), {"steps": 7})
    assert list(config.concepts) == ["woman", "man", "old man"]
    assert config.steps == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stepps": 3}, "unknown key 'stepps'; did you mean 'steps'"),
        ({"semantic_weight": 3}, "did you mean"),
        ({"lamda": 3}, "did you mean 'lambda'"),
        ({"concepts": {"woman": {"target": "a woman", "semantic_rl": 1}}}, "concepts.woman.semantic_rl.*'semantic_lr'"),
        ({"lambda": -1}, "lambda: .*greater than or equal to 0, found -1"),
        ({"steps": 0}, "steps: .*found 0"),
        ({"steps": "many"}, "steps: "),
        ({"objective": "toy"}, "objective: expected one of respodiff, sdisc, where, found .toy."),
        ({"responsible_lr": float("nan")}, "responsible_lr"),
        ({"responsible_lr": 1e39}, "responsible_lr: .*less than or equal to 10{30}, found"),
        ({"concepts": {}}, "concepts"),
        ({"concepts": {"woman": {"target": "  "}}}, "concepts.woman.target"),
        ({"concepts": {"woman": {}}}, "concepts.woman.target"),
        ({"neutral": ""}, "neutral"),
        ({"purpose": "beauty"}, "purpose"),
        ({"kind": "low_rank"}, "give 'rank'"),
        ({"rank": 3}, "give 'rank'"),
        ({"map_width": 3}, "both 'map_width' and 'map_lr'"),
        ({"map_lr": 0.1}, "both 'map_width' and 'map_lr'"),
        ({"target_from": "others"}, "at least two concepts"),
        ({"words": {"woman": "she, her"}}, "words.woman: "),
        ({"words": {"woman": ["she", " "]}}, "words.woman.1: "),
        ({"words": {"a,b": ["she"]}}, "words: expected the group of words's name"),
        ({"words": {"woman": ["she * her"]}}, "words: expected 1 to 8 words"),
        ({"train_on": "everybody"}, "train_on: "),
        ({"train_on": "people"}, "people: name some"),
        ({"probe": {"nobody": ["a dog"]}}, "people: name some"),
        ({"people": ["a doctor"]}, r"concepts\.woman\.word: with 'people'"),
        ({"people": ["a doctor", " "]}, r"people\.1: "),
        ({"people": "a doctor"}, "people: "),
        ({"concepts": {"woman": {"target": "a woman", "word": ""}}}, r"concepts\.woman\.word: "),
        ({"purpose": "safety", "concepts": SAFETY, "people": ["a doctor"]}, "probe: safety acts on every prompt"),
        ({**PEOPLED, "probe": {"nobody": ["a dog"], "templates": ["a photo"]}}, r"probe\.templates: .*'a photo'"),
        ({**PEOPLED, "probe": {"nobody": ["a dog"], "details": ["{} old", "old"]}}, r"probe\.details: .*'old'"),
        ({**PEOPLED, "probe": {"nobody": ["a dog"], "templates": []}}, r"probe\.templates: "),
        (
            {**PEOPLED, "people": MANY, "probe": {"nobody": ["a dog"], "details": MANY}},
            "phrases, found 321,603 .people",
        ),
        ({**PEOPLED, "people": MANY * 4}, "at most 2,500 phrases, found 3,202"),
        ({**PEOPLED, "probe": {"nobodies": ["a dog"]}}, r"unknown key 'probe\.nobodies'; did you mean 'nobody'"),
    ],
)
def test_defects_are_named_in_one_line(changes: dict, message: str) -> None:
    with pytest.raises(RespoError, match=message) as caught:
        check_config({**GOOD, **changes}, "mine.toml")
    assert str(caught.value).startswith("mine.toml: ")
    assert "\n" not in str(caught.value)


def test_words_are_kept_and_are_nothing_that_training_depends_on() -> None:
    plain, spoken = (
        check_config({**GOOD, **words}, "mine.toml") for words in ({}, {"words": {"woman": ["she", "her"]}})
    )
    assert spoken.words == {"woman": ["she", "her"]}
    assert spoken.to_dict()["words"] == spoken.words
    assert "words" not in spoken.trained()
    assert spoken.trained() == plain.trained()


def test_a_probe_is_spelt_only_where_there_is_one() -> None:
    plain, probed = (
        check_config({**GOOD, **PEOPLED, **probe}, "mine.toml") for probe in ({}, {"probe": {"nobody": ["a dog"]}})
    )
    assert "probe" not in plain.to_dict()
    assert probed.to_dict()["probe"] == {"nobody": ["a dog"], "details": [], "places": [], "templates": ["{}"]}
    assert (plain.train_on, plain.to_dict()["people"]) == ("neutral", ["a doctor"])
    assert check_config(probed.to_dict(), "again") == probed


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RespoError, match=r"no preset 'gendre'. Shipped presets: age, gender, no_weapons"):
        read_config("gendre")
    broken = tmp_path / "broken.toml"
    for content in (b"steps = ", b"caf\xe9"):
        broken.write_bytes(content)
        with pytest.raises(RespoError, match="cannot read"):
            read_config(str(broken))
