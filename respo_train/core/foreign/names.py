"""Which concept has which index in a file: from the list beside it, or from the paper."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import RespoError, UnknownConcept
from ..files.header import parse_json
from ..files.text import limited
from ..module.attribute import check_name
from .families import Family

# Names by topic. Safety: the categories of I2P (Schramowski et al., 2023) and those of the papers.
_ABOUT = {
    "gender": re.compile(r"\b(woman|man|women|men|female|male)\b"),
    "age": re.compile(r"\b(young|old)\b"),
    "race": re.compile(r"race\b"),
    "safety": re.compile(r"\b(anti\W?)?(sexual|nud|violen|weapon|hate|harass|self-harm|shocking|illegal)"),
}


def parse_concepts(text: str) -> dict[str, int]:
    """Parse a list of concepts: JSON {"name": index, …} as released, or a list of names in order. Raises RespoError."""
    return checked_concepts(parse_json(limited(text, "the list of concepts"), "the list of concepts"))


def checked_concepts(found: Any) -> dict[str, int]:
    """Return {name: index}. Raises RespoError unless all names are texts and all indices integers from 0."""
    if isinstance(found, (list, tuple)) and all(isinstance(name, str) for name in found):
        if len(set(found)) < len(found):
            raise RespoError("expected a list of different concepts, found one of them twice.")
        found = {name: number for number, name in enumerate(found)}
    if not isinstance(found, Mapping) or not found:
        raise RespoError(
            'expected the concepts as JSON, {"a woman": 0, "a man": 1} or ["a woman", "a man"], found '
            f"{type(found).__name__} {str(found)[:40]!r}."
        )
    for name, number in found.items():
        check_name("concept", name)
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise RespoError(f"expected the number of {name!r} as a whole number from 0, found {str(number)[:40]!r}.")
    return dict(found)


def numbers_of(family: Family, room: int, given: Mapping[str, int] | None) -> dict[str, int]:
    """Return {name: index} for a file with `room` concepts. Raises RespoError when the list does not fit the file."""
    if given is None and room != family.count:
        raise RespoError(
            f"the file has room for {room} concepts, but {family.title}'s released files have {family.count}, so their "
            "names are unknown. Give the list of concepts that came with it (concept_dict.json)."
        )
    given = family.concepts if given is None else given
    beyond = [name for name, number in given.items() if number >= room]
    if beyond:
        raise RespoError(
            f"the list of concepts has {beyond[0]!r} at {given[beyond[0]]}, but the file has room for {room} "
            "(counted from 0). Is it the list of another file?"
        )
    return dict(given)


def wanted_of(known: Mapping[str, int], only: Sequence[str]) -> dict[str, int]:
    """Return the concepts asked for by name. Raises UnknownConcept; RespoError when two have the same index."""
    wanted: dict[str, int] = {}
    for name in only:
        if name not in known:
            raise UnknownConcept(f"no concept {str(name)[:80]!r} in the list; it has {', '.join(known)}.")
        twin = next((other for other in namesakes(name, known) if other in wanted), None)
        if twin is not None:
            raise RespoError(
                f"{twin!r} and {name!r} are both number {known[name]} in the list: only one of them is in the file. "
                "Ask for the one that it was trained for."
            )
        wanted[name] = known[name]
    return wanted


def namesakes(name: str, known: Mapping[str, int]) -> list[str]:
    """Return the other names with the same index."""
    return [other for other, number in known.items() if number == known[name] and other != name]


def about(name: str) -> str:
    """Return the topic of a concept by its name: "gender", "age", "race" or "safety", else the name itself."""
    lowered = name.lower()
    return next((topic for topic, pattern in _ABOUT.items() if pattern.search(lowered)), lowered)


def fitting_name(stem: str) -> str | None:
    """Return a file name without its ending if it is a valid name for an attribute, else None."""
    try:
        check_name("attribute", stem)
    except RespoError:
        return None
    return stem
