"""What a judge sees in drawn pictures. It looks at each picture once, whatever is asked of it later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

from torch import Tensor

from ..core.errors import RespoError
from ..core.judge import UNSURE, Verdict
from .drawn import BETWEEN, Drawn, to_tensor

MANY_UNSURE = 0.05  # a figure of which more is unsure says so


class Looks(Protocol):
    """The part of a judge that figures need."""

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """Attribute -> its labels."""

    def verdicts(self, images: Tensor) -> dict[str, Verdict]:
        """[B, 3, H, W] in 0 … 1 -> one Verdict per attribute."""


_SEEN: WeakKeyDictionary[Drawn, WeakKeyDictionary[Looks, dict[str, Verdict]]] = WeakKeyDictionary()


def verdicts(judge: Looks, one: Drawn) -> dict[str, Verdict]:
    """Return the verdicts on all pictures of `one`, cached as long as both exist."""
    known = _SEEN.setdefault(one, WeakKeyDictionary())
    if judge not in known:
        empty = {name: Verdict((), ()) for name in judge.classes}
        known[judge] = judge.verdicts(to_tensor(one.images)) if len(one.images) else empty
    return known[judge]


def labels(judge: Looks, one: Drawn, attribute: str) -> tuple[str, ...]:
    """Return what the judge sees in each picture, or UNSURE. Raises RespoError for an attribute it cannot judge."""
    if attribute not in judge.classes:
        raise RespoError(
            f"expected an attribute that the judge knows ({', '.join(judge.classes)}), found {attribute!r}. Choose "
            "another judge."
        )
    return verdicts(judge, one)[attribute].labels


def cells(judge: Looks, one: Drawn, attributes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return each picture's combination of concepts, "woman, dark"; UNSURE where one of them is none of those asked."""
    seen = [labels(judge, one, name) for name in attributes]
    wanted = list(attributes.values())
    return [
        BETWEEN.join(own) if all(label in some for label, some in zip(own, wanted, strict=True)) else UNSURE
        for own in zip(*seen, strict=True)
    ]


def tells(judge: Looks, concepts: Sequence[str]) -> str | None:
    """Return the attribute among whose labels all of `concepts` are, None where the judge cannot tell them apart."""
    return next((name for name, own in judge.classes.items() if set(concepts) <= set(own)), None)


def note_on_unsure(unsure: int, n: int) -> str:
    """Return a note when the judge is unsure of more than 5 % of `n` pictures, else ""."""
    return f"unsure of {unsure / n:.1%}" if n and unsure / n > MANY_UNSURE else ""
