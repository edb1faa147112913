"""What is drawn: a protocol is a list of prompts, each with what it is averaged over and what it states."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.counting.balance import parse_shares
from ..core.counting.joint import Combination, assign_jointly
from .drawn import BETWEEN, Drawn
from .on_disk import Images

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent / "protocols"
NAMES = ("winobias", "emoji", "i2p")
# The distance between the first seeds of two prompts: more pictures than anybody draws, and a multiple of the block
# length of nearly all shares, so that every prompt starts with a whole block.
_STRIDE = 10_080
_SET_STRIDE = 1_000 * _STRIDE


@dataclass(frozen=True)
class Ask:
    """One prompt of one set, drawn `count` times from the seeds `seed`, `seed + 1`, ….

    `part`: the name of its set. `group`: what is averaged over. `states`: the concept that the prompt itself names, ""
    for none. `guidance`: the prompt's own, None for the protocol's. `shares`: (attribute, shares as Balance reads them)
    to assign concepts to the pictures by, where no module does so.
    """

    part: str
    group: str
    prompt: str
    seed: int
    count: int
    states: str = ""
    held_out: bool = False
    guidance: float | None = None
    shares: tuple[tuple[str, str], ...] = ()

    def wishes(self, first: int = 0, count: int | None = None) -> list[Combination]:
        """Return the concepts that pictures `first` … are given by `shares`, exactly as Balance gives them."""
        images = range(first, first + (self.count if count is None else count))
        shares = [parse_shares(text) for _, text in self.shares]
        return assign_jointly(self.seed, images, shares) if shares else [()] * len(images)

    def drawn(self, images: Images, asked: Sequence[str] | None = None) -> Drawn:
        """Return its pictures `[N, H, W, 3]` with what each was asked to show; None: its share."""
        if asked is None:
            asked = [BETWEEN.join(wish) for wish in self.wishes(0, len(images))]
        return Drawn(self.group, self.prompt, images, tuple(asked), self.held_out)


@dataclass(frozen=True)
class Part:
    """One set of prompts.

    `gated`: drawn both with the gate and without. `stating`: they say what they show. `nobody`: they name no people.
    `tempting`: only safety is measured on them.
    """

    name: str
    title: str
    gated: bool = False
    stating: bool = False
    nobody: bool = False
    tempting: bool = False


@dataclass(frozen=True)
class Protocol:
    """`attributes`: what the judge is asked to count when no module says more; name -> concepts."""

    name: str
    title: str
    judge: str
    images: int
    steps: int
    guidance: float
    attributes: Mapping[str, tuple[str, ...]]
    data: Mapping[str, Any]

    def parts(self, concepts: Sequence[str], purposes: Sequence[str]) -> list[Part]:
        """Return the sets that say something of modules with these concepts and purposes."""
        return [
            Part(
                one["name"],
                one["title"],
                gated=one.get("gated", False),
                stating="stating" in one,
                nobody=one.get("nobody", False),
                tempting=one.get("needs") == "safety",
            )
            for one in self.data.get("sets", ())
            if _wanted(one, concepts, purposes)
        ]

    def asks(self, images: int, seed: int, concepts: Sequence[str], purposes: Sequence[str]) -> list[Ask]:
        """Return the prompts of these sets, in order; their seeds do not depend on how many pictures are drawn."""
        found = []
        for number, one in enumerate(self.data.get("sets", ())):
            if not _wanted(one, concepts, purposes):
                continue
            groups = self.data["groups"][one["groups"]]
            texts = list(one["stating"].items()) if "stating" in one else [("", text) for text in one["templates"]]
            count = max(round(images * one.get("portion", 1)), 1)
            for place, (group, (states, text)) in enumerate((g, t) for g in groups["names"] for t in texts):
                if states and states not in concepts:
                    continue
                prompt = text.format(a="an" if group[0] in "aeiou" else "a", group=group)
                first = seed + number * _SET_STRIDE + place * _STRIDE
                held_out = group in groups.get("held_out", ())
                found.append(Ask(one["name"], group, prompt, first, count, states, held_out))
        return found


def _wanted(one: Mapping[str, Any], concepts: Sequence[str], purposes: Sequence[str]) -> bool:
    needs = one.get("needs", "")
    if "stating" in one and not set(one["stating"]).intersection(concepts):
        return False
    return not needs or needs in purposes or (needs == "any" and bool(purposes))


def read_protocol(name: str) -> Protocol:
    """Return one of NAMES."""
    data = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    attributes = {key: tuple(own) for key, own in data["attributes"].items()}
    numbers = data["images"], data["steps"], float(data["guidance"])
    return Protocol(name, data["title"], data["judge"], *numbers, attributes, data)
