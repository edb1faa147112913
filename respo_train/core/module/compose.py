"""Make new concepts from existing ones: weighted sums, interpolation, and one concept without another.

The two parts of a module are constants added to h, so this is linear algebra on each part separately. Maps of h are
placed side by side, which adds up to the same. Parts of different kinds or grid sizes become full grids of the largest
height and width among them; if all are one number per channel, they stay so. Nothing is retrained: only pictures can
show how well two concepts add up. The result has no prompt probe, because the parents' probes ask about other concepts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ArchitectureMismatch, RespoError
from .attribute import Attribute
from .concept import ConceptModule
from .fingerprint import same_checkpoint
from .grid import Grid, resize
from .h_map import HMap, weighted

_MAX_PEDIGREE = 8192  # characters of a parent's own parents; limits the growth in a chain of compositions


@dataclass(frozen=True)
class Term:
    """One concept of an attribute, and its weight. `file`, `sha256`: the module file that it comes from.

    Raises RespoError for a weight that is not finite, and UnknownConcept.
    """

    attribute: Attribute
    concept: str
    weight: float = 1.0
    file: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise RespoError(f"expected a weight that is a finite number, found {self.weight}.")
        self.attribute.concept(self.concept)

    @property
    def is_safety(self) -> bool:
        """Whether the concept removes something from pictures."""
        return self.attribute.purpose == "safety"


def weighted_sum(terms: Sequence[Term], name: str = "") -> Attribute:
    """Return the concept `sum of weight * concept`. Terms of weight 0 are dropped, unless all weights are 0.

    `name`: of the new concept; by default it is made from the terms' names. The purpose is "safety" if any term's is.
    Raises RespoError: a negative weight for a safety concept, which would bring back what it removes; numbers too large
    for float32; an invalid name. Raises ArchitectureMismatch for terms for different architectures.
    """
    _require_one_architecture(terms)
    terms = [term for term in terms if term.weight] or list(terms)
    _refuse_negative_safety(terms)
    weights = [term.weight for term in terms]

    def add(parts: Sequence[Tensor]) -> Tensor:
        return torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum(0)

    maps = [(term.weight, term.attribute.concept(term.concept).map) for term in terms]
    map_of_h = weighted([(weight, one) for weight, one in maps if one is not None])
    return _made("sum", terms, name or _sum_name(terms), add, map_of_h)


def interpolation(a: Term, b: Term, t: float, name: str = "") -> Attribute:
    """Return the concept `(1 - t) * a + t * b`: exactly a's numbers at 0 and b's at 1.

    The terms' own weights are ignored. Raises RespoError for `t` outside 0 … 1, and what `weighted_sum` raises.
    """
    if not 0 <= t <= 1:
        raise RespoError(f"expected t between 0 (the first concept) and 1 (the second one), found {t}.")
    ends = [Term(x.attribute, x.concept, w, x.file, x.sha256) for x, w in ((a, 1 - t), (b, t))]
    return weighted_sum(ends, name or _fitting(f"between {a.concept} and {b.concept}"))


def without(a: Term, b: Term, name: str = "") -> Attribute:
    """Return the concept `a.weight * (a - b.weight * (<a, b> / <b, b>) * b)`, with a's purpose.

    `<a, b>` sums over all channels and places of a part. b's weight is the share of the overlap to remove, 0 … 1: at 1
    the result is orthogonal to b. Where b is zero, a is unchanged. Raises RespoError for a weight of b outside 0 … 1,
    when a or b has a map of h, when b is a safety concept, and when a is one and its weight is negative.
    """
    _require_one_architecture([a, b])
    _refuse_negative_safety([a])
    if b.is_safety:
        raise RespoError(
            f"{b.concept!r} removes something from pictures; a concept without it could bring that back. Choose a "
            "concept that is not for safety as the second one."
        )
    if not 0 <= b.weight <= 1:
        raise RespoError(
            f"expected the second weight between 0 and 1, the share of the overlap to remove, found {b.weight}."
        )

    for term in (a, b):
        if term.attribute.concept(term.concept).map is not None:
            raise RespoError(
                f"{term.concept!r} has a map of h: what it adds differs from picture to picture, so it has no fixed "
                "overlap with another concept. Choose concepts that are constants, or add them up."
            )

    def remove(parts: Sequence[Tensor]) -> Tensor:
        own, other = parts
        # In float64, because the overlap of two large grids is a sum of very many numbers.
        along = other.double().flatten()
        energy = along.dot(along)
        overlap = own.double().flatten().dot(along) / energy if energy else energy
        return a.weight * (own - b.weight * overlap.float() * other)

    return _made("without", [a, b], name or _fitting(f"{a.concept} without {b.concept}"), remove)


def notes_on(terms: Sequence[Term]) -> list[str]:
    """Return notes for people on concepts that were made on different checkpoints, or to act in different ways."""
    notes, (first, *others) = [], (term.attribute.base for term in terms)
    prints = first.get("fingerprint", ())
    if not all(other == first or same_checkpoint(prints, other.get("fingerprint", ())) for other in others):
        names = ", ".join(dict.fromkeys(term.attribute.made_on for term in terms))
        notes.append(f"Note: made of concepts for different checkpoints ({names}), so it may be weaker or different.")
    if len({(term.attribute.acts_on_both, term.attribute.acts_on_both_in_batches) for term in terms}) > 1:
        notes.append(
            "Note: made of concepts that act on different halves of guidance in some nodes. There the new one acts on "
            "the conditional half."
        )
    return notes


@torch.no_grad()
def _made(
    operation: str,
    terms: list[Term],
    name: str,
    combine: Callable[[Sequence[Tensor]], Tensor],
    map_of_h: HMap | None = None,
) -> Attribute:
    modules = [term.attribute.concept(term.concept) for term in terms]
    responsible, semantic = (
        Grid.from_tensors(_finite(combine(_alike([part.value() for part in own])), name))
        for own in ([m.responsible for m in modules], [m.semantic for m in modules])
    )
    purpose = "safety" if any(term.is_safety for term in terms) else "fairness"
    training: dict[str, Any] = {
        "objective": "composed",
        "operation": operation,
        "parents": [_pedigree(term) for term in terms],
    }
    first, told = terms[0].attribute, [term.attribute.training for term in terms]
    training |= {key: told[0][key] for key in ("half", "strength") if key in told[0] and _same(key, told)}
    if all("imported" in own for own in told):
        training["imported"] = {}
    if map_of_h is not None:
        _finite(map_of_h.outward, name)
    concepts = {name: ConceptModule.from_parts(responsible, semantic, map_of_h)}
    return Attribute(name, purpose, concepts, first.architecture, first.base, training, _words(operation, terms, name))


def _same(key: str, told: Sequence[Mapping[str, Any]]) -> bool:
    return all(own.get(key) == told[0].get(key) for own in told)


def _alike(values: Sequence[Tensor]) -> list[Tensor]:
    height, width = (max(value.shape[axis] for value in values) for axis in (1, 2))
    return [resize(value, height, width) for value in values]


def _finite(value: Tensor, name: str) -> Tensor:
    if not torch.isfinite(value).all():
        raise RespoError(f"{name!r} would hold numbers too large to compute with. Choose smaller weights.")
    return value


def _pedigree(term: Term) -> dict[str, Any]:
    """Return where a term comes from, for the metadata; with its own parents as long as that is short."""
    attribute = term.attribute
    facts: dict[str, Any] = {
        "file": term.file,
        "sha256": term.sha256,
        "attribute": attribute.name,
        "concept": term.concept,
    }
    facts |= {"weight": term.weight, "purpose": attribute.purpose, "base": attribute.made_on}
    more = {key: attribute.training[key] for key in ("licence", "operation", "parents") if key in attribute.training}
    return facts | (more if len(json.dumps(more)) <= _MAX_PEDIGREE else {})


def _words(operation: str, terms: Sequence[Term], name: str) -> dict[str, list[str]]:
    """Collect the words that state the new concept: those of its positive terms, not of those it leads away from.

    Groups that are not concepts ("person") are kept.
    """
    stating = [term for term in terms if term.weight > 0][: 1 if operation == "without" else None]
    groups = [(name, term.attribute.words.get(term.concept, ())) for term in stating]
    for term in terms:
        own = term.attribute
        groups += [(group, words) for group, words in own.words.items() if group not in own.concepts]
    merged: dict[str, list[str]] = {}
    for group, words in groups:
        merged[group] = list(dict.fromkeys([*merged.get(group, ()), *words]))
    return {group: words for group, words in merged.items() if words}


def _require_one_architecture(terms: Sequence[Term]) -> None:
    first, *others = (term.attribute.architecture for term in terms)
    for other in others:
        if other != first:
            raise ArchitectureMismatch(
                f"{terms[0].concept!r} was made for {first.describe()}, but another concept for {other.describe()}. "
                "Only modules for the same kind of model can be put together."
            )


def _refuse_negative_safety(terms: Sequence[Term]) -> None:
    for term in terms:
        if term.is_safety and term.weight < 0:
            raise RespoError(
                f"{term.concept!r} removes something from pictures; a weight below 0 would bring it back, found "
                f"{term.weight}. Choose a weight of at least 0."
            )


def _sum_name(terms: Sequence[Term]) -> str:
    """Build a name like "woman + old - smile". Names cannot contain dots, so the weights are not part of it."""
    ordered = sorted(terms, key=lambda term: term.weight < 0)
    first, *others = ordered
    start = ("minus " if first.weight < 0 else "") + first.concept
    return _fitting(start + "".join(f" {'-' if term.weight < 0 else '+'} {term.concept}" for term in others))


def _fitting(name: str) -> str:
    return name[:64].rstrip(" -'")
