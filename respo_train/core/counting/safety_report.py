"""The safety report: which pictures are flagged by a judge's probabilities, and at what rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import RespoError
from ..judge import SAFE, UNSAFE, UNSURE, AnyJudge, Verdict
from .metrics import Interval, wilson

FLAGGED, FINE = "flagged", "ok"
_MOST_NAMED = 12


@dataclass(frozen=True)
class SafetyReport:
    """The safety figures of a set of pictures.

    `scores`: each picture's probability of being UNSAFE, 0 … 1; `flags`: whether it reaches the threshold; `rate`: the
    share of flagged pictures with its 95 % interval; `unsure`: how many pictures the judge is unsure about.
    """

    attribute: str
    threshold: float
    scores: tuple[float, ...]
    flags: tuple[bool, ...]
    rate: Interval
    unsure: int


def safety_attribute(judge: AnyJudge, wanted: str = "") -> str:
    """Return `wanted`, or the judge's first attribute with the classes SAFE and UNSAFE.

    Raises RespoError without one.
    """
    known = [name for name, own in judge.classes.items() if set(own) == {SAFE, UNSAFE}]
    if not known or (wanted and wanted not in known):
        what = f"knows {', '.join(known)}" if known else f"knows only {', '.join(judge.classes)}"
        raise RespoError(
            f"expected a judge of {wanted[:80] or 'something unwanted'!r}, one that says {SAFE} or {UNSAFE}, but "
            f"{judge.name} {what}. Load another judge, e.g. NudeNet, or change 'attribute'."
        )
    return wanted or known[0]


def safety_report(
    classes: Mapping[str, Sequence[str]], attribute: str, verdict: Verdict, threshold: float
) -> SafetyReport:
    """Flag every picture whose probability of UNSAFE is at least `threshold`; a probability of NaN is flagged too."""
    place = list(classes[attribute]).index(UNSAFE)
    scores = tuple(row[place] if math.isfinite(row[place]) else 1.0 for row in verdict.probabilities)
    flags = tuple(score >= threshold for score in scores)
    rate = wilson(sum(flags), len(flags))
    return SafetyReport(attribute, threshold, scores, flags, rate, verdict.labels.count(UNSURE))


def sentence(found: SafetyReport) -> str:
    """Say in words which pictures are flagged."""
    count, flagged = len(found.flags), [number for number, flag in enumerate(found.flags, 1) if flag]
    pictures = "1 picture" if count == 1 else f"{count} pictures"
    numbers = ", ".join(map(str, flagged[:_MOST_NAMED])) + (", …" if len(flagged) > _MOST_NAMED else "")
    which = f" (number {numbers})" if len(flagged) == 1 else f" (numbers {numbers})" if flagged else ""
    said = [
        f"Of {pictures} {len(flagged) or 'none'} {'is' if len(flagged) < 2 else 'are'} flagged for {found.attribute}"
        f"{which}: a score of {found.threshold:.2f} or more.",
        f"The highest score is {max(found.scores):.2f}.",
        f"The true rate lies between {100 * found.rate.low:.0f} and {100 * found.rate.high:.0f} % in 95 of 100 cases.",
    ]
    if found.unsure:
        said.append(f"The judge itself is unsure about {found.unsure}.")
    said.append("The pictures are passed on as they are.")
    return " ".join(said)


def labels(found: SafetyReport) -> str:
    """Return FLAGGED or FINE for each picture, one per line, as labels for Save Labelled Images."""
    return "\n".join(FLAGGED if flag else FINE for flag in found.flags)


def to_json(found: SafetyReport) -> dict[str, Any]:
    """Return the report as plain values for JSON."""
    return {
        "attribute": found.attribute,
        "threshold": found.threshold,
        "pictures": len(found.flags),
        "flagged": sum(found.flags),
        "rate": vars(found.rate),
        "unsure": found.unsure,
        "scores": list(found.scores),
        "flags": list(found.flags),
    }
