"""Prompts from which EquiSteer's vectors, magnitudes and gate are computed, in the words of Emoji World.

Its authors take 126 pairs: 9 subjects in 14 contexts ("a man on the street" against "a woman on the street"; for race
against the same without the word), and calibrate on a word or two. Ours are 6 templates in 8 places, and the 14
professions that are not held out.
"""

from __future__ import annotations

from collections.abc import Mapping

from emoji_world import world
from emoji_world.captions import TEMPLATES

from .asks import ALONE, CONCEPTS, GENDER, PROMPTS

Contrasts = Mapping[str, tuple[list[str], list[str]]]  # concept -> prompts that state it, as many that do not
PLACES = ("", *(f" {place}" for place in world.SCENES.values()))


def pairs(attribute: str) -> Contrasts:
    """Return the prompts of the steering vectors. For gender, the other side states the other gender."""
    names = CONCEPTS[attribute]
    stated = {name: _everywhere(ALONE[attribute].format(name)) for name in names}
    if attribute == GENDER:
        one, other = names
        return {one: (stated[one], stated[other]), other: (stated[other], stated[one])}
    return {name: (own, _everywhere(f"a {world.PERSON.word}")) for name, own in stated.items()}


def calibration(attribute: str) -> Contrasts:
    """Return the prompts of magnitudes and gate."""
    neutral = [one.prompt for one in PROMPTS["neutral"] if not one.held_out]
    explicit = [one for one in PROMPTS["explicit"] if not one.held_out]
    return {name: ([one.prompt for one in explicit if one.states == name], neutral) for name in CONCEPTS[attribute]}


def _everywhere(person: str) -> list[str]:
    return [template.format(person + place) for template in TEMPLATES for place in PLACES]
