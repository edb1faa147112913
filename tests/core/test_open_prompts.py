"""One definition of "open": the Gate by the prompts of open_prompts.toml, and how it goes together with a probe."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from open_prompts import accuracy, asked

from respo_train.core.gate.decide import decide
from respo_train.core.gate.is_open import is_open, probe_of
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.probe import PromptProbe
from respo_train.settings.preset_files import read_config

PROMPTS = asked()
WORDS = {one.attribute: read_config(one.attribute.replace(" ", "_")).words for one in PROMPTS}


def test_the_prompts_are_many_and_differ() -> None:
    assert len(PROMPTS) >= 400
    assert sum(one.held_out for one in PROMPTS) >= 130
    assert max(Counter((one.attribute, one.prompt) for one in PROMPTS).values()) == 1


def test_the_gate_reads_them_as_defined() -> None:
    right = accuracy(PROMPTS, lambda one: decide(one.prompt, WORDS[one.attribute]).open)
    print(f"\nGate: {right[False]:.3f} of the prompts, {right[True]:.3f} of those held out")  # noqa: T201 - seen with -s
    assert right[False] == 1
    assert right[True] >= 0.95


def test_the_help_pages_examples() -> None:
    page = (Path(__file__).resolve().parents[2] / "web" / "docs" / "RespoGate.md").read_text(encoding="utf-8")
    rows = re.findall(r'^\| (".*") \| (open|closed) \|', page, re.MULTILINE)
    examples = [(prompt, answer) for prompts, answer in rows for prompt in re.findall(r'"([^"]+)"', prompts)]
    assert len(examples) >= 12
    for prompt, answer in examples:
        assert (prompt, decide(prompt, WORDS["gender"]).open) == (prompt, answer == "open")


@pytest.mark.parametrize(
    ("somebody", "nobody"),
    [
        ("a family of four", "a family of ducks"),
        ("the crew of a ship", "a crew of robots"),
        ("a team of doctors", "a team of horses"),
        ("the family of the boss", "an army of ants"),
    ],
)
def test_a_group_is_what_it_consists_of(somebody: str, nobody: str) -> None:
    assert decide(somebody, {}).open
    assert not decide(nobody, {}).open


def attribute_of(purpose: str = "fairness", probed: bool = True) -> Attribute:
    """Its probe sees somebody in ones, and a statement in the first of two features alone."""
    words = [torch.tensor([[1.0, 0.0]])]
    numbers = torch.zeros(2), torch.ones(2), torch.ones(2), words, torch.tensor([-0.1, -0.9])
    return Attribute(
        "gender",
        purpose,
        {"woman": ConceptModule(8, 2, 2), "man": ConceptModule(8, 2, 2)},
        Architecture("x", 8, 2, 0, 8),
        {},
        {},
        probe=PromptProbe(*numbers) if probed else None,
    )


OPEN, STATED, NOBODY = torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 0.0]]])


@pytest.mark.parametrize(
    ("prompt", "encoded", "wanted"),
    [
        ("a doctor", OPEN, True),
        ("a doctor", None, True),
        (None, OPEN, True),
        (None, None, True),
        ("a doctor", STATED, False),
        ("a doctor", NOBODY, False),
        (None, STATED, False),
        ("two women", OPEN, False),
        ("a dog", OPEN, False),
        ("two women", None, False),
    ],
)
def test_open_only_where_all_say_so(prompt: str | None, encoded: torch.Tensor | None, wanted: bool) -> None:
    decision = is_open(attribute_of(), prompt, encoded)
    assert decision.open == wanted
    assert decision.reason.startswith("Open: " if wanted else "Closed: ")
    assert is_open(attribute_of("safety"), prompt, encoded).open
    assert is_open(attribute_of(probed=False), None, encoded).open


def test_who_is_asked_of_a_call() -> None:
    assert isinstance(probe_of(attribute_of()), PromptProbe)
    assert probe_of(attribute_of("safety")) is None
    assert probe_of(attribute_of(probed=False)) is None


def test_own_words() -> None:
    assert not is_open(attribute_of(), "a doctor", override="man: doctor").open
