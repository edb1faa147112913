from __future__ import annotations

import contextlib
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emoji_world.world import PROFESSIONS
from respo_train.core.errors import RespoError
from respo_train.core.gate.decide import decide
from respo_train.core.gate.is_open import words_of
from respo_train.core.gate.prompt_text import MAX_CHARACTERS, read_words
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.settings.preset_files import PRESETS, read_config
from respo_train.settings.toml_text import tomllib

PROMPTS = tomllib.loads((Path(__file__).parent / "gate_prompts.toml").read_text(encoding="utf-8"))
MISSES = PROMPTS.pop("misses")
WORDS = {attribute: read_config(attribute.replace(" ", "_")).words for attribute in PROMPTS}
GENDER, RACE, AGE = WORDS["gender"], WORDS["race"], WORDS["age"]
HALVES = ("tuned on", "only counted")


def listed(half: int) -> Iterator[tuple[str, bool, str]]:
    """(attribute, whether it should be open, prompt) of one half."""
    for attribute, lists in PROMPTS.items():
        for verdict, prompts in lists.items():
            yield from ((attribute, verdict == "open", prompt) for prompt in prompts[half::2])


def wrong(half: int) -> set[tuple[str, str]]:
    return {(a, prompt) for a, wanted, prompt in listed(half) if decide(prompt, WORDS[a]).open != wanted}


@pytest.mark.parametrize("half", [0, 1], ids=HALVES)
def test_precision_and_recall_of_open(half: int) -> None:
    found = [(wanted, decide(prompt, WORDS[attribute]).open) for attribute, wanted, prompt in listed(half)]
    both, said, meant = found.count((True, True)), sum(is_open for _, is_open in found), sum(w for w, _ in found)
    precision, recall = both / said, both / meant
    print(f"\nGate, {len(found)} prompts {HALVES[half]}: precision {precision:.3f}, recall {recall:.3f} of open")  # noqa: T201 - seen with -s
    assert len(found) >= 150
    assert precision >= 0.95
    assert recall >= 0.95


def test_misses_are_exactly_those_written_down() -> None:
    assert wrong(0) | wrong(1) == {(attribute, prompt) for attribute, lists in MISSES.items() for prompt in lists}


def test_no_prompt_is_about_a_held_out_profession() -> None:
    held_out = [profession.word for profession in PROFESSIONS if profession.held_out]
    assert held_out
    assert [p for half in (0, 1) for _, _, p in listed(half) if any(word in p.lower() for word in held_out)] == []


def test_prompts_differ() -> None:
    for lists in PROMPTS.values():
        prompts = [prompt for verdict in lists.values() for prompt in verdict]
        assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize(
    ("words", "prompt", "reason"),
    [
        (GENDER, "a photo of a Doctor", "Open: 'doctor', and nothing says woman, man or neither."),
        (GENDER, "A doctor and her dog", "Closed: 'her' already says woman."),
        (GENDER, "a doctor, no women", "Closed: 'women' already speaks of woman."),
        (GENDER, "an empty street", "Closed: nobody in this prompt."),
        (WORDS["skin tone"], "a dark-skinned pilot", "Closed: 'dark-skinned' already says dark."),
        ({"old": ["old *"]}, "a teacher", "Open: 'teacher', and nothing says old."),
        ({}, "a teacher", "Open: 'teacher'."),
    ],
)
def test_reasons(words: dict, prompt: str, reason: str) -> None:
    decision = decide(prompt, words)
    assert decision.reason == reason
    assert decision.open == reason.startswith("Open")


@pytest.mark.parametrize(
    ("words", "closes", "does_not"),
    [
        ({"woman": ["woman"]}, "a doctor and two WOMEN", "a doctor and a womanly cake"),
        ({"dark": ["dark skin"]}, "a person, dark-skin", "a person, dark, skin"),
        ({"black": ["black *"]}, "a black tennis player", "a person with a black racket"),
        ({"black": ["black *"]}, "a black tall old player", "a black and blue and red player"),
        ({"old": ["old *"]}, "an old, wise teacher", "wallpaper, old, teacher"),
        ({"old": ["old *"]}, "a teacher who is very old", "a teacher, the house is old"),
        ({"old": ["old *"]}, "a teacher, not old", "a teacher not in an old house"),
        ({"king": ["king"]}, "a teacher and a king", "a teacher and a king crab"),
        ({"he": ["he", "-he laughs"]}, "a teacher, he smiles", "a teacher, he laughs"),
        ({"black": ["black *"]}, "a black player with hair", "a black-blond player"),
        ({"woman": ["woman"]}, "a teacher in a woman's arms", "a teacher in a woman's coat"),
        ({"woman": ["woman"]}, "a teacher behind a woman", "a teacher behind a statue of a woman"),
    ],
)
def test_rules(words: dict, closes: str, does_not: str) -> None:
    assert "already" in decide(closes, words).reason
    assert decide(does_not, words).open


@pytest.mark.parametrize(
    ("somebody", "nobody"),
    [
        ("no cars, a cyclist or a nurse", "no cars, people or animals"),
        ("a cook in a kitchen", "time to cook in a kitchen"),
        ("a no-makeup nurse", "no nurse"),
        ("a p\u0131lot", "a fl\u0131ght"),  # a letter that only capitals show to be an i
    ],
)
def test_who_is_there(somebody: str, nobody: str) -> None:
    assert decide(somebody, {}).open
    assert not decide(nobody, {}).open


def test_words_for_people_can_be_added() -> None:
    assert not decide("a xylo on a hill", {}).open
    assert decide("two xylos on a hill", {"person": ["xylo"]}).reason == "Open: 'xylos'."


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", []),
        ("(a doctor:1.2), [snow]", ["doctor", "snow"]),
        ("1girl, dark_skin", ["1", "girl", "dark", "skin"]),
        ("<lora:woman:0.8>embedding:man.pt a cat", ["cat"]),
        ("isn't, who’s, doctor’s", ["is", "not", "who", "is", "doctor"]),
        ("a cat BREAK the dog", ["cat", "dog"]),
    ],
)
def test_reading(prompt: str, words: list[str]) -> None:
    assert [word.text for word in read_words(prompt)] == words


pieces = st.sampled_from(
    [
        "woman",
        "no",
        "not",
        "a",
        "the",
        "old",
        "doctor",
        "'s",
        "-",
        ", ",
        " ",
        "who is",
        "statue of",
        "(",
        ":1.2)",
        "<",
        ">",
    ]
)
texts = st.text() | st.lists(pieces, max_size=30).map(" ".join) | st.lists(pieces, max_size=30).map("".join)


@settings(deadline=None, max_examples=300)
@given(texts, st.sampled_from(sorted(WORDS)))
@example("no-a", "age")  # joined to an article, and to a sign that is none there, with nothing behind
@example("no-break", "gender")
@example("non-the", "gender")
def test_any_text_is_decided(prompt: str, attribute: str) -> None:
    decision = decide(prompt, WORDS[attribute])
    assert decision.reason.startswith("Open: " if decision.open else "Closed: ")


@settings(deadline=None, max_examples=300)
@given(
    st.text(string.printable) | st.sampled_from([prompt for half in (0, 1) for _, _, prompt in listed(half)]),
    st.text(" \t\r\n", max_size=4),
    st.sampled_from([str.upper, str.title, str.swapcase]),
)
def test_case_and_space_around_do_not_matter(prompt: str, space: str, change: Any) -> None:
    wanted = decide(prompt, GENDER)
    # A title begins a word after each sign, so that "isn't" gives "Isn'T": all the same.
    assert decide(change(prompt), GENDER) == decide(space + prompt + space, GENDER) == wanted


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.lists(st.text())), st.text())
def test_any_words_are_read_or_refused(words: dict, prompt: str) -> None:
    with contextlib.suppress(RespoError):
        decide(prompt, words)


@pytest.mark.parametrize(
    "entry", ["", " ", "*", "-", "a * b", "one, two", "1 2 3 4 5 6 7 8 9", "<lora:x:1>", "woman*man"]
)
def test_an_entry_that_is_no_words_is_refused(entry: str) -> None:
    with pytest.raises(RespoError, match="1 to 8 words"):
        decide("a doctor", {"woman": [entry]})


@pytest.mark.parametrize(
    "piece", ["a", "<", "(", "'", "a'", "-", "a-", "no ", "old and ", "woman, ", "\u0130", "of statue of ", ":1", "1a"]
)
def test_long_prompts_take_linear_time(piece: str) -> None:
    """With something quadratic in it, fifty thousand characters would take a minute each."""
    decide((piece * MAX_CHARACTERS)[:MAX_CHARACTERS], AGE)


@pytest.mark.parametrize(("prompt", "message"), [("a" * 10_000_000, "at most 50,000"), (None, "NoneType"), (7, "int")])
def test_what_is_no_prompt(prompt: Any, message: str) -> None:
    with pytest.raises(RespoError, match=message):
        decide(prompt, GENDER)


def attribute_with(**words: list[str]) -> Attribute:
    concepts = {name: ConceptModule(8, 2, 2) for name in ("woman", "man")}
    return Attribute("gender", "fairness", concepts, Architecture("x", 8, 8, 0, 8), {}, {}, words)


def test_lines_replace_lists() -> None:
    attribute = attribute_with(woman=["lady"], man=["sir"])
    assert words_of(attribute) == {"woman": ["lady"], "man": ["sir"]}
    assert words_of(attribute, "\n woman : she , her\nboth: all of them\n") == {
        "woman": ["she", "her"],
        "man": ["sir"],
        "both": ["all of them"],
    }
    assert words_of(attribute, "woman:")["woman"] == []
    assert words_of(attribute_with()) == {"woman": ["woman"], "man": ["man"]}  # a file without words


@pytest.mark.parametrize("lines", ["woman", "wo.man: she", ": she", "x" * 200_000])
def test_lines_that_are_none(lines: str) -> None:
    with pytest.raises(RespoError, match="expected"):
        words_of(attribute_with(), lines)


def test_every_fairness_preset_says_its_words() -> None:
    for path in PRESETS.glob("*.toml"):
        config = read_config(path.stem)
        assert (set(config.concepts) <= set(config.words)) == (config.purpose == "fairness")
