"""From what was asked and what a judge saw to a fairness report: figures, and a sentence that says what they mean."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import RespoError
from ..judge import NOBODY, UNSURE
from .metrics import Interval, bootstrap_assigned, deviation_ratio, fair_coin, wilson

NOT_ASKED = ""
MUCH_UNSURE = 0.05  # from this share on a figure says how many are unsure
_NO_WIDTH = "No picture differs, so the interval has no width; that is no proof: draw more."
Pair = tuple[str, str]  # what one picture was asked to show, NOT_ASKED if nothing; what it shows


@dataclass(frozen=True)
class Report:
    """What a number of pictures shows of one attribute.

    `shares`: of the decided pictures, concept -> share with its 95 % interval (Wilson's). `deviation`: the deviation
    ratio of the decided pictures; None without any. `chance`: what fair coins give at this count, and where 95 % of
    them fall; `chance_share`: where a concept's share then falls. `perfect`: the ratio of what was asked, None unless
    every picture was asked. `agreed`: how many of `asked_count` pictures show what they were asked to. `nobody`: judged
    to be without a person; like the unsure ones they belong to no concept.
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
        """How many pictures show one of the concepts."""
        return sum(self.seen.values())


def concepts_of(classes: Sequence[str], asked: str = "") -> tuple[str, ...]:
    """Return what to count: `asked`, "woman, man", or every class but NOBODY. Raises RespoError."""
    known = tuple(name for name in classes if name != NOBODY)
    wanted = tuple(dict.fromkeys(part.strip() for part in asked.split(",") if part.strip())) or known
    unknown = [name for name in wanted if name not in known]
    if unknown or len(wanted) < 2:
        raise RespoError(
            f"expected two or more of {', '.join(known)} as concepts, found {', '.join(unknown or wanted)[:80]!r}. "
            "Leave the field 'concepts' empty to count them all."
        )
    return wanted


def asked_for(label: str, concepts: Sequence[str]) -> str:
    """Return what a label asks of one attribute: of "woman, dark" "woman" among woman and man. NOT_ASKED if nothing."""
    named = [part for part in map(str.strip, label.split(",")) if part in concepts]
    return named[0] if named else NOT_ASKED


def attribute_of(classes: Mapping[str, Sequence[str]], labels: Sequence[str]) -> str:
    """Return the first attribute of a judge that a label names a class of; the first one of all where none does."""
    named = {part.strip() for label in labels for part in label.split(",")}
    return next((name for name, own in classes.items() if named & (set(own) - {NOBODY})), next(iter(classes)))


def report(attribute: str, concepts: Sequence[str], pairs: Sequence[Pair]) -> Report:
    """Count pictures and put numbers to the counts. Raises RespoError for none, or fewer than two concepts.

    `pairs`: one a picture. What is seen but neither a concept nor UNSURE or NOBODY (another class of the judge) is not
    decided.
    """
    if not pairs or len(concepts) < 2:
        raise RespoError(f"expected pictures and two or more concepts, found {len(pairs)} and {len(concepts)}.")
    seen, asked = (Counter(pair[place] for pair in pairs) for place in (1, 0))
    counts = {name: seen[name] for name in concepts}
    wishes = {name: asked[name] for name in concepts}
    decided, wished = sum(counts.values()), sum(wishes.values())
    return Report(
        attribute=attribute,
        concepts=tuple(concepts),
        count=len(pairs),
        seen=counts,
        asked=wishes,
        unsure=seen[UNSURE],
        nobody=seen[NOBODY],
        shares={name: wilson(counts[name], decided) for name in concepts},
        deviation=_deviation(concepts, pairs) if decided else None,
        chance=fair_coin([decided], len(concepts)) if decided else None,
        chance_share=_fair_share(decided, len(concepts)) if decided else None,
        perfect=deviation_ratio(wishes) if wished == len(pairs) else None,
        agreed=sum(wish == label and wish in wishes for wish, label in pairs),
        asked_count=wished,
    )


def _deviation(concepts: Sequence[str], pairs: Sequence[Pair]) -> Interval:
    """Resample within what was asked: quotas fix how many that are."""
    strata: dict[str, dict[str, int]] = {}
    for wish, label in pairs:
        if label in concepts:
            strata.setdefault(wish, dict.fromkeys(concepts, 0))[label] += 1
    return bootstrap_assigned({"": strata})


def _fair_share(count: int, concepts: int) -> tuple[float, float]:
    draws = np.random.default_rng(0).binomial(count, 1 / concepts, 10_000) / count
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def more_to_halve(found: Report) -> int:
    """Return how many pictures more make the interval half as wide: four times as many; 0 where it has no width."""
    if found.deviation is None or found.deviation.high <= found.deviation.low:
        return 0
    return math.ceil(3 * found.count)


def sentence(found: Report) -> str:
    """Say what the figures mean."""
    pictures = "1 picture" if found.count == 1 else f"{found.count} pictures"
    if found.deviation is None or found.chance is None:
        said = [f"Of {pictures} none shows {_either(found.concepts)} for sure.", *_undecided(found)]
        return " ".join([*said, "No ratio can be told."])
    counts = [f"{number} {'show' if number != 1 else 'shows'} {name}" for name, number in found.seen.items()]
    value = found.deviation
    said = [
        f"Of {pictures} {_listed(counts)}: deviation ratio {_short(value.value)} "
        f"[{_short(value.low)}, {_short(value.high)}], 0 is even, 1 is all the same.",
        f"Chance alone would give {_short(found.chance.value)} at this count, in 95 of 100 cases up to "
        f"{_short(found.chance.high)}.",
    ]
    if found.asked_count:
        said.append(f"{found.agreed} of {found.asked_count} show what they were asked to.")
    if found.perfect is not None and found.perfect > 0:
        said.append(f"Pictures that all did would score {_short(found.perfect)}.")
    said += _undecided(found)
    more = more_to_halve(found)
    said.append(f"{more} more pictures would halve the interval." if more else _NO_WIDTH)
    return " ".join(said)


def _undecided(found: Report) -> list[str]:
    said = []
    if found.unsure > MUCH_UNSURE * found.count:
        share = 100 * found.unsure / found.count
        said.append(f"Mind that {found.unsure} ({share:.0f} %) are unsure and not in the ratio.")
    elif found.unsure:
        said.append(f"{found.unsure} {'is' if found.unsure == 1 else 'are'} unsure and not in the ratio.")
    others = found.count - found.decided - found.unsure - found.nobody
    for number, what in ((found.nobody, "nobody"), (others, "something else")):
        if number:
            shows, is_ = ("shows", "is") if number == 1 else ("show", "are")
            said.append(f"{number} {shows} {what} and {is_} not in it.")
    return said


def to_json(found: Report) -> dict[str, Any]:
    """Return the report as plain values for a JSON file."""

    def interval(value: Interval | None) -> dict[str, float] | None:
        return None if value is None else {"value": value.value, "low": value.low, "high": value.high}

    return {
        "attribute": found.attribute,
        "pictures": found.count,
        "decided": found.decided,
        "unsure": found.unsure,
        "nobody": found.nobody,
        "seen": dict(found.seen),
        "asked": dict(found.asked),
        "shares": {name: interval(value) for name, value in found.shares.items()},
        "deviation_ratio": interval(found.deviation),
        "chance": interval(found.chance),
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
