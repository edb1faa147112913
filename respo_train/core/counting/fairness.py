"""The fairness report: from what was asked for and what a judge saw to figures, and a sentence that explains them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import RespoError
from ..files.text import limited
from ..judge import NOBODY, UNSURE
from .metrics import Interval, bootstrap_assigned, deviation_ratio, fair_coin, wilson

NOT_ASKED = ""
MUCH_UNSURE = 0.05  # from this share of unsure pictures on, the sentence warns about them
_NO_WIDTH = "Pictures asked for the same show the same, so the interval has no width; that is no proof: draw more."
Pair = tuple[str, str]  # (what a picture was asked to show, or NOT_ASKED; what it shows)


@dataclass(frozen=True)
class Report:
    """What a set of pictures shows of one attribute. A picture is decided when it shows one of the concepts.

    `shares`: each concept's share of the decided pictures, with its 95 % interval (Wilson). `deviation`: the deviation
    ratio of the decided pictures; None if there are none. `chance`: the ratio that fair coins give at this count, and
    the range of 95 % of their results; `chance_share`: the range of a concept's share in the same case. `perfect`: the
    ratio of the concepts that were asked for; None unless every picture was asked for one. `agreed`: how many of the
    `asked_count` pictures show what they were asked to. `nobody`: pictures judged to have no person; like the unsure
    ones they belong to no concept.
    """

    attribute: str
    concepts: tuple[str, ...]
    count: int
    seen: Mapping[str, int]
    asked: Mapping[str, int]
    unsure: int
    nobody: int
    shares: Mapping[str, Interval]
    deviation: Interval | None
    chance: Interval | None
    chance_share: tuple[float, float] | None
    perfect: float | None
    agreed: int
    asked_count: int

    @property
    def decided(self) -> int:
        """Number of pictures that show one of the concepts."""
        return sum(self.seen.values())


def concepts_of(classes: Sequence[str], asked: str = "") -> tuple[str, ...]:
    """Return the concepts to count: those in `asked` ("woman, man"), or every class but NOBODY. Raises RespoError."""
    known = tuple(name for name in classes if name != NOBODY)
    parts = limited(asked, "the concepts").split(",")
    wanted = tuple(dict.fromkeys(part.strip() for part in parts if part.strip())) or known
    unknown = [name for name in wanted if name not in known]
    if unknown or len(wanted) < 2:
        raise RespoError(
            f"expected two or more of {', '.join(known)} as concepts, found {', '.join(unknown or wanted)[:80]!r}. "
            "Leave the field 'concepts' empty to count them all."
        )
    return wanted


def asked_for(label: str, concepts: Sequence[str]) -> str:
    """Return what a label asks for in one attribute, or NOT_ASKED: "woman" for "woman, dark" among woman and man."""
    named = [part for part in map(str.strip, label.split(",")) if part in concepts]
    return named[0] if named else NOT_ASKED


def attribute_of(classes: Mapping[str, Sequence[str]], labels: Sequence[str]) -> str:
    """Return a judge's first attribute that has a class named in a label, or else its first attribute."""
    named = {part.strip() for label in labels for part in label.split(",")}
    return next((name for name, own in classes.items() if named & (set(own) - {NOBODY})), next(iter(classes)))


def report(attribute: str, concepts: Sequence[str], pairs: Sequence[Pair] | Mapping[Pair, int]) -> Report:
    """Count the pictures and compute the figures. `pairs`: (asked, seen) for each picture, or how many show each.

    A picture is undecided when what it shows is neither a concept nor UNSURE nor NOBODY (another class of the judge).
    Raises RespoError when there are no pictures or fewer than two concepts.
    """
    numbers = Counter(pairs)
    count = numbers.total()
    if not count or len(concepts) < 2:
        raise RespoError(f"expected pictures and two or more concepts, found {count} and {len(concepts)}.")
    asked, seen = Counter[str](), Counter[str]()
    for (wish, label), number in numbers.items():
        asked[wish] += number
        seen[label] += number
    counts = {name: seen[name] for name in concepts}
    wishes = {name: asked[name] for name in concepts}
    decided, wished = sum(counts.values()), sum(wishes.values())
    return Report(
        attribute=attribute,
        concepts=tuple(concepts),
        count=count,
        seen=counts,
        asked=wishes,
        unsure=seen[UNSURE],
        nobody=seen[NOBODY],
        shares={name: wilson(counts[name], decided) for name in concepts},
        deviation=_deviation(concepts, numbers) if decided else None,
        chance=fair_coin([decided], len(concepts)) if decided else None,
        chance_share=_fair_share(decided, len(concepts)) if decided else None,
        perfect=deviation_ratio(wishes) if wished == count else None,
        agreed=sum(numbers[name, name] for name in wishes),
        asked_count=wished,
    )


def _deviation(concepts: Sequence[str], numbers: Mapping[Pair, int]) -> Interval:
    """Resample pictures among those with the same asked concept, because quotas fix how many there are of each."""
    strata: dict[str, dict[str, int]] = {}
    for (wish, label), number in numbers.items():
        if label in concepts:
            strata.setdefault(wish, dict.fromkeys(concepts, 0))[label] += number
    return bootstrap_assigned({"": strata})


def _fair_share(count: int, concepts: int) -> tuple[float, float]:
    draws = np.random.default_rng(0).binomial(count, 1 / concepts, 10_000) / count
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def more_to_halve(found: Report) -> int:
    """Return how many more pictures would halve the interval's width (4 times as many in all); 0 if it has no width."""
    if found.deviation is None or found.deviation.high <= found.deviation.low:
        return 0
    return math.ceil(3 * found.count)


def sentence(found: Report) -> str:
    """Explain the figures in words."""
    pictures = "1 picture" if found.count == 1 else f"{found.count} pictures"
    if found.deviation is None or found.chance is None:
        said = [f"Of {pictures} none shows {_either(found.concepts)} for sure.", *_undecided(found)]
        return " ".join([*said, "There is no ratio to compute."])
    counts = [f"{number} {'show' if number != 1 else 'shows'} {name}" for name, number in found.seen.items()]
    value = found.deviation
    said = [
        f"Of {pictures} {_listed(counts)}: deviation ratio {_short(value.value)} "
        f"[{_short(value.low)}, {_short(value.high)}], 0 is even, 1 is all the same.",
        f"Chance alone would give {_short(found.chance.value)} at this count, in 95 of 100 cases "
        f"{_short(found.chance.low)} to {_short(found.chance.high)}.",
    ]
    if found.asked_count:
        said.append(f"{found.agreed} of {found.asked_count} show what they were asked to.")
    if found.perfect is not None and found.perfect > 0:
        said.append(f"If all did, the ratio would be {_short(found.perfect)}.")
    said += _undecided(found)
    more = more_to_halve(found)
    said.append(f"{more} more pictures would halve the interval." if more else _NO_WIDTH)
    return " ".join(said)


def _undecided(found: Report) -> list[str]:
    said = []
    if found.unsure > MUCH_UNSURE * found.count:
        share = 100 * found.unsure / found.count
        said.append(f"Note that {found.unsure} ({share:.0f} %) are unsure and not in the ratio.")
    elif found.unsure:
        said.append(f"{found.unsure} {'is' if found.unsure == 1 else 'are'} unsure and not in the ratio.")
    others = found.count - found.decided - found.unsure - found.nobody
    for number, what in ((found.nobody, "nobody"), (others, "something else")):
        if number:
            shows, is_ = ("shows", "is") if number == 1 else ("show", "are")
            said.append(f"{number} {shows} {what} and {is_} not in it.")
    return said


def to_json(found: Report) -> dict[str, Any]:
    """Return the report as plain values for JSON."""
    return {
        "attribute": found.attribute,
        "pictures": found.count,
        "decided": found.decided,
        "unsure": found.unsure,
        "nobody": found.nobody,
        "seen": dict(found.seen),
        "asked": dict(found.asked),
        "shares": {name: vars(value) for name, value in found.shares.items()},
        "deviation_ratio": found.deviation and vars(found.deviation),
        "chance": found.chance and vars(found.chance),
        "perfect": found.perfect,
        "agreement": {"agreed": found.agreed, "asked": found.asked_count},
        "more_to_halve": more_to_halve(found),
    }


def _short(value: float) -> str:
    """Write .12 for 0.12, as the papers do."""
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
