"""The questions that CLIP is asked for each attribute, and how users can write their own."""

from __future__ import annotations

import configparser
import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..core.errors import RespoError
from ..core.files.text import limited
from ..core.judge import UNSURE

_THRESHOLD = "unsure below"
_MOST_CLASSES = 100


@dataclass(frozen=True)
class Question:
    """One attribute: each class with its prompts, whose probabilities are added. Unsure below `threshold`."""

    prompts: Mapping[str, tuple[str, ...]]
    threshold: float


# Chance gives .5 for two classes, .33 for three. The words for race are from RespoDiff (arXiv 2509.15257, section 4).
QUESTIONS: Mapping[str, Question] = {
    "gender": Question({"woman": ("a photo of a woman",), "man": ("a photo of a man",)}, 0.6),
    "race": Question(
        {
            "Asian-race": ("a photo of an Asian-race person",),
            "black-race": ("a photo of a black-race person",),
            "white-race": ("a photo of a white-race person",),
        },
        0.5,
    ),
    "age": Question({"young": ("a photo of a young person",), "old": ("a photo of an old person",)}, 0.6),
    "skin_tone": Question(
        {
            "light": ("a photo of a person with light skin",),
            "medium": ("a photo of a person with brown skin",),
            "dark": ("a photo of a person with dark skin",),
        },
        0.5,
    ),
}


def parse_prompts(text: str) -> dict[str, Question]:
    """Read questions, in place of QUESTIONS when `text` has any.

    [hair]
    long = a photo of a person with long hair | a photo of someone with a ponytail
    short = a photo of a person with short hair
    unsure below = 0.6

    Runs of white space count as one. Raises RespoError.
    """
    if not limited(text, "the prompts").strip():
        return dict(QUESTIONS)
    reader = configparser.ConfigParser(interpolation=None, delimiters=("=",), default_section="", strict=True)
    reader.optionxform = str  # type: ignore[assignment,method-assign] # keep the capitals of class names
    try:
        reader.read_string("\n".join(map(_tidied, text.splitlines())))
    except configparser.Error as error:
        raise RespoError(
            f"the prompts cannot be read ({' '.join(str(error).split())[:200]}). Expected a line [attribute], then "
            "lines 'class = a prompt' for at least two classes."
        ) from error
    return {name: _question(name, dict(reader[name])) for name in reader.sections()}


def _tidied(line: str) -> str:
    """Return a line with one space for each run of white space: configparser's patterns are quadratic in such runs."""
    return " " * line[:1].isspace() + " ".join(line.split())


def _question(name: str, lines: dict[str, str]) -> Question:
    wanted = lines.pop(_THRESHOLD, None)
    prompts = {label: tuple(p.strip() for p in text.split("|") if p.strip()) for label, text in lines.items()}
    wrong = [label for label, own in prompts.items() if not own or label.lower() == UNSURE or "," in label]
    if not 2 <= len(prompts) <= _MOST_CLASSES or wrong:
        raise RespoError(
            f"expected [{name[:40]}] with at least two classes, each with a name without a comma and a prompt, found "
            f"{', '.join(wrong or prompts)[:80] or 'none'}."
        )
    try:
        threshold = 1 / len(prompts) + 0.1 if wanted is None else float(wanted)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold <= 1:
        raise RespoError(f"expected '{_THRESHOLD}' of [{name[:40]}] from 0 to 1, found {str(wanted)[:40]!r}.")
    return Question(prompts, threshold)
