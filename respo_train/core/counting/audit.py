"""An audit: the shares of what pictures show of each attribute, group by group, and whether they meet a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import RespoError
from ..judge import UNSURE
from .fairness import NOT_ASKED, Report, concepts_of, report, to_json
from .metrics import Interval, bootstrap_assigned, fair_coin
from .target import FAIL, OPEN, PASS, Target, judged, needed, parse_target

MOST_UNSURE = 0.2  # with a larger share of unsure ones among the pictures of somebody nothing is passed or failed
RESULTS = {PASS: "passed", FAIL: "failed", OPEN: "not decided"}


@dataclass(frozen=True)
class Part:
    """What a group of pictures shows. `result`: whether it meets the target, "" without one; `why`: why it is open."""

    found: Report
    result: str = ""
    why: str = ""


@dataclass(frozen=True)
class Audited:
    """One attribute of an audit.

    `whole`: all pictures together; its result is what all groups come to: passed if each of them is. `groups`: name ->
    its pictures. `mean`: the mean deviation ratio over the groups that show any concept, and what fair coins give.
    """

    whole: Part
    groups: Mapping[str, Part]
    target: Target | None
    needs: int  # decided pictures in each group
    mean: Interval | None
    chance: Interval | None


def audit(
    attribute: str, classes: Sequence[str], labels: Mapping[str, Sequence[str]], target: Target | None
) -> Audited:
    """Audit one attribute. `labels`: group -> what each of its pictures shows, one of `classes` or UNSURE.

    `target`: of `targets_of`, which checks it. Raises RespoError when there are no pictures.
    """
    concepts = concepts_of(classes)
    needs = needed(target) if target is not None else 0
    seen = {name: report(attribute, concepts, _pairs(own)) for name, own in labels.items() if own}
    groups = {name: _part(found, target, len(seen)) for name, found in seen.items()}
    whole = report(attribute, concepts, _pairs([label for own in labels.values() for label in own]))
    decided = {name: {NOT_ASKED: found.seen} for name, found in seen.items() if found.decided}
    return Audited(
        Part(whole, *_together(list(groups.values()))),
        groups,
        target,
        needs,
        bootstrap_assigned(decided) if decided else None,
        fair_coin([seen[name].decided for name in decided], len(concepts)) if decided else None,
    )


def targets_of(texts: Sequence[str], classes: Mapping[str, Sequence[str]], tolerance: float) -> dict[str, Target]:
    """Return attribute -> its target, for texts such as "woman 1, man 1", by the concepts that they name.

    Raises RespoError for a text that does not name all concepts of one attribute, and for two about the same.
    """
    found: dict[str, Target] = {}
    for text in texts:
        target = parse_target(text, tolerance)
        known = {name: concepts_of(own) for name, own in classes.items()}
        attribute = next((name for name, own in known.items() if set(own) == set(target.shares)), None)
        if attribute is None or attribute in found:
            listed = "; ".join(f"{name}: {', '.join(own)}" for name, own in known.items())
            raise RespoError(
                f"expected at most one target for each attribute, with a weight for each concept that the judge knows "
                f"({listed}), 0 for what should not be there, found {text[:80]!r}."
            )
        found[attribute] = target
    return found


def sentence(found: Audited) -> str:
    """Say in words how the test went; the figures are the fairness report's."""
    if found.target is None:
        return ""
    result, tolerance = found.whole.result, 100 * found.target.tolerance
    wanted = ", ".join(f"{name} {float(share):.0%}" for name, share in found.target.shares.items())
    said = [f"{RESULTS[result].capitalize()}: {wanted}, each within {tolerance:g} percentage points."]
    if len(found.groups) > 1:
        counts = [(sum(part.result == key for part in found.groups.values()), RESULTS[key]) for key in RESULTS]
        said.append(f"Of {len(found.groups)} groups {', '.join(f'{n} {words}' for n, words in counts if n)}.")
    if result == OPEN:
        said.append(found.whole.why or f"The test needs {found.needs} pictures of which the judge is sure.")
    return " ".join(said)


def possible(found: Report) -> dict[str, tuple[float, float]]:
    """Return the least and the largest share of each concept that the unsure pictures could make, if all were sure."""
    every = max(found.decided + found.unsure, 1)
    return {name: (seen / every, (seen + found.unsure) / every) for name, seen in found.seen.items()}


def audit_json(found: Audited) -> dict[str, Any]:
    """Return one attribute's audit as plain values for JSON."""

    def part(own: Part) -> dict[str, Any]:
        known = to_json(own.found)
        kept = {
            key: known[key] for key in ("pictures", "decided", "unsure", "nobody", "seen", "shares", "deviation_ratio")
        }
        ends = {name: list(pair) for name, pair in possible(own.found).items()}
        return {"result": own.result or None, **kept, "chance": known["chance"], "shares_if_none_were_unsure": ends}

    target = found.target and {
        "shares": {name: float(share) for name, share in found.target.shares.items()},
        "tolerance": found.target.tolerance,
        "pictures_needed_in_each_group": found.needs,
    }
    groups = {name: part(own) for name, own in found.groups.items()} if len(found.groups) > 1 else {}
    means = {"mean_deviation_ratio": found.mean, "mean_chance": found.chance} if groups else {}
    mean = {name: value and vars(value) for name, value in means.items()}
    return {**part(found.whole), "target": target, **mean, "groups": groups}


def _part(found: Report, target: Target | None, groups: int) -> Part:
    if target is None:
        return Part(found)
    people = found.decided + found.unsure
    if not found.decided:
        return Part(found, OPEN, "There is no picture of which the judge is sure.")
    if found.unsure > MOST_UNSURE * people:
        return Part(found, OPEN, f"The judge is unsure of {found.unsure} of {people} pictures: too many to say.")
    return Part(found, judged(found.seen, target, groups))


def _together(parts: Sequence[Part]) -> tuple[str, str]:
    """Return the result of all groups: failed if one is, passed if each is; and why it is open."""
    results = [part.result for part in parts]
    if FAIL in results or "" in results:
        return (FAIL, "") if FAIL in results else ("", "")
    if OPEN in results:
        return OPEN, next((part.why for part in parts if part.why), "")
    return PASS, ""


def _pairs(labels: Sequence[str]) -> list[tuple[str, str]]:
    return [(NOT_ASKED, label or UNSURE) for label in labels]
