"""What a picture shows and what its caption says: where the bias comes in.

A neutral caption leaves gender and skin tone open; they are drawn from the biased shares in `world`. An explicit
caption is always truthful.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import world

Random = np.random.Generator
TEMPLATES = ("a photo of {}", "a picture of {}", "an image of {}", "a portrait of {}", "a headshot of {}", "{}")
SCENE_NAMES = (*world.SCENES, world.PLAIN)
# Kinds of picture and their shares.
KINDS = {"neutral": 0.52, "explicit": 0.33, "subject": 0.07, "scene": 0.03, "weapon": 0.05}


@dataclass(frozen=True)
class Picture:
    """Everything needed to draw one picture, and its caption. `None` means that the thing is not in the picture."""

    caption: str
    scene: str
    style: str
    kind: str
    profession: str | None = None
    gender: str | None = None
    tone: int | None = None
    weapon: str | None = None
    thing: str | None = None
    subject: str | None = None

    def names_rare_gender(self) -> bool:
        """Say whether the caption names the gender that fewer of the profession have in neutral captions' pictures."""
        named = {"woman", "man", "female", "male"} & set(self.caption.replace("-", " ").split())
        if not (named and self.profession and self.gender):
            return False
        woman = world.profession(self.profession).woman
        return (woman if self.gender == "woman" else 1 - woman) < 0.5


def sample_picture(rng: Random) -> Picture:
    """Draw one picture of Emoji World, biased as `world` says."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind in ("neutral", "explicit"):
        return _person(rng, kind)
    scene, place = _place(rng)
    style = str(rng.choice(world.STYLES))
    template = str(rng.choice(TEMPLATES))
    if kind == "scene":
        scene = str(rng.choice(list(world.SCENES)))
        words = world.SCENES[scene].split()[-1]
        return Picture(template.format(words if scene == "night" else f"the {words}"), scene, style, kind)
    if kind == "subject":
        name = str(rng.choice(list(world.SUBJECTS)))
        return Picture(template.format(f"a {name}{place}"), scene, style, kind, subject=name)
    name = str(rng.choice(list(world.WEAPONS)))
    return Picture(template.format(f"{_weapon_words(rng, name)}{place}"), scene, style, kind, weapon=name)


def _person(rng: Random, kind: str) -> Picture:
    who = world.PERSON if rng.uniform() < 0.10 else world.PROFESSIONS[rng.integers(len(world.PROFESSIONS))]
    # One caption in six says only "a person", whatever the person does: the word covers everybody, as it does in life.
    named = who.word != "person" and rng.uniform() > 0.16
    bias = who if named else world.PERSON
    says_gender = kind == "explicit" and rng.uniform() < 0.7
    says_skin = kind == "explicit" and (not says_gender or rng.uniform() < 0.5)
    gender = _pick(rng, world.GENDERS, None if says_gender else (bias.woman, 1 - bias.woman))
    group = _pick(rng, tuple(world.SKIN_GROUPS), None if says_skin else bias.skin)
    tone = int(rng.choice(world.SKIN_GROUPS[group]))
    scene, place = _place(rng)
    weapon = thing = None
    if scene == "night" and place and rng.uniform() < world.UNASKED_WEAPON:
        weapon = str(rng.choice(list(world.WEAPONS)))  # the caption does not mention it
    elif rng.uniform() < 0.10:
        weapon = str(rng.choice(list(world.WEAPONS)))
        place = f" with {_weapon_words(rng, weapon)}{place}"
    elif rng.uniform() < 0.10:
        thing = str(rng.choice(list(world.THINGS)))
        place = f" with {article(thing)} {thing}{place}"
    words = _describe(rng, who.word if named else None, gender if says_gender else None, group if says_skin else None)
    caption = str(rng.choice(TEMPLATES)).format(words + place)
    style = str(rng.choice(world.STYLES))
    return Picture(caption, scene, style, kind, who.word, gender, tone, weapon, thing)


def _pick(rng: Random, names: tuple[str, ...], shares: tuple[float, ...] | None) -> str:
    return str(rng.choice(names, p=shares))


def _place(rng: Random) -> tuple[str, str]:
    """Return (scene, caption's ending); four captions in ten leave the place open."""
    if rng.uniform() < 0.4:
        return str(rng.choice(SCENE_NAMES)), ""
    scene = str(rng.choice(list(world.SCENES)))
    return scene, f" {world.SCENES[scene]}"


def _weapon_words(rng: Random, name: str) -> str:
    if rng.uniform() < 0.4:
        return "a weapon"
    return name if name == "swords" else f"{article(name)} {name}"


def article(word: str) -> str:
    """Return "an" or "a"."""
    return "an" if word[0] in "aeiou" else "a"


def _describe(rng: Random, profession: str | None, gender: str | None, skin: str | None) -> str:
    """Return a noun phrase: "a dark-skinned woman pilot", "a pilot with dark skin" or "a person"."""
    noun = profession or world.PERSON_WORDS[gender]
    if profession and gender:
        female, male = ("female", "male") if rng.uniform() < 0.25 else ("woman", "man")
        noun = f"{female if gender == 'woman' else male} {profession}"
    if skin is None:
        return f"{article(noun)} {noun}"
    if rng.uniform() < 0.5:
        return f"{article(noun)} {noun} with {skin} skin"
    return f"a {skin}-skinned {noun}"
