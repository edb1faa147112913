"""Who gets what: the concepts of each picture of a run, from shares and a seed, or from labels that are given.

A picture is known by its place in the run's batch, or by its index in the larger batch that it was taken from.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

from ..errors import RespoError
from ..files.text import limited
from .joint import Shares, assign_jointly
from .labels import LONGEST, MOST

LEFT = "-"  # in labels: a picture that is left as the model draws it
Given = tuple[str, ...]  # one concept of each attribute; LEFT for none


@dataclass(frozen=True, repr=False)
class Seats:
    """Says what each picture of a run gets: what `rows` gives it, or else exact shares, see `assign_jointly`.

    `shares`: the (concept, share) pairs of each attribute, sorted so that equal assignments compare equal; `seed`: None
    for the noise seed of the run that is going on; `indices`: each picture's index in the batch that it was taken from,
    None for a whole batch; `rows`: labels that were given, one for each picture of the whole batch. Equal assignments
    have the same repr, which is short: every edit of a model shows it, and there may be thousands of labels.
    """

    shares: tuple[Shares, ...]
    seed: int | None = None
    indices: tuple[int, ...] | None = None
    rows: tuple[Given, ...] | None = None

    def __repr__(self) -> str:
        """Name the assignment by a digest."""
        return f"Seats({self._digest})"

    @cached_property
    def _digest(self) -> str:
        told = repr((self.shares, self.seed, self.indices, self.rows))
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def follows(self) -> bool:
        """Whether it depends on the run's noise seed."""
        return self.seed is None and self.rows is None

    def of(self, count: int, seed: int | None = None) -> Sequence[Given]:
        """Return the concepts of `count` pictures of a run with this noise seed. Raises RespoError where unknown.

        A batch of another size than `indices` is counted from its first picture.
        """
        own = self.indices if self.indices is not None and len(self.indices) == count else None
        if self.rows is not None:
            return self._written(self.rows, count, own)
        base = seed if self.seed is None else self.seed
        if base is None:
            raise RespoError(
                "The pictures follow the seed of their sampler, which is not known here. Set "
                "Balance's seed_from to 'this node'."
            )
        return _assigned(base, own or range(count), self.shares)

    def _written(self, rows: tuple[Given, ...], count: int, indices: tuple[int, ...] | None) -> Sequence[Given]:
        """Take as many labels as pictures in their order; of more, those that the pictures' indices say."""
        if count == len(rows):
            return rows
        if indices is None or max(indices) >= len(rows):
            raise RespoError(
                f"Balance was given {len(rows)} labels, but {count} pictures are being sampled, and nothing tells "
                "which label is whose. Link one label for each picture, or link the sampler's latent to Balance, too."
            )
        return [rows[index] for index in indices]


@lru_cache(maxsize=16)
def _assigned(seed: int, indices: Sequence[int], shares: tuple[Shares, ...]) -> Sequence[Given]:
    """Share out once what every concept of a module and every step of a run asks for again."""
    return tuple(assign_jointly(seed, indices, [dict(own) for own in shares]))


def indices_of(latent: Mapping[str, Any] | None) -> tuple[int, ...] | None:
    """Return the batch index of each picture; None when no latent is linked.

    For pictures taken out of a batch (Latent From Batch), the host keeps "batch_index" so that they get the same noise
    as in the full batch. They keep their concept in the same way.
    """
    if latent is None:
        return None
    count = len(latent["samples"])
    known = latent.get("batch_index")
    return tuple(known) if known is not None and len(known) == count else tuple(range(count))


def parse_given(text: str, attributes: Sequence[Collection[str]]) -> tuple[Given, ...]:
    """Parse labels, one picture a line or up to a semicolon: "woman, dark", or "-" to leave a picture alone.

    `attributes`: the names of each attribute's concepts. An attribute that a line does not name is left, too. Raises
    RespoError for other names, for two of one attribute, and for more than 4096 pictures.
    """
    lines = re.split("[;\n]", limited(text, "the labels", (LONGEST + 1) * MOST).removesuffix("\n"))
    if len(lines) > MOST:
        raise RespoError(f"expected labels of at most {MOST} pictures, found {len(lines)}. Link those of one run.")
    return tuple(_given(line, number, attributes) for number, line in enumerate(lines, 1))


def _given(line: str, number: int, attributes: Sequence[Collection[str]]) -> Given:
    names = [name for name in map(str.strip, line.split(",")) if name not in ("", LEFT)]
    row = [[name for name in names if name in own] for own in attributes]
    strange = [name for name in names if not any(name in own for own in attributes)]
    if strange or any(len(own) > 1 for own in row):
        known = " and one of ".join(", ".join(own) for own in attributes)
        raise RespoError(
            f"expected labels with one picture a line, each with one of {known}, or {LEFT!r} for a picture to leave "
            f"alone; found {line.strip()[:80]!r} in line {number}. Link Assign Labels or another Balance's labels, and "
            "the modules that they are about."
        )
    return tuple(own[0] if own else LEFT for own in row)


def shares_given(rows: Sequence[Given], place: int) -> Mapping[str, Fraction]:
    """Return the share of pictures that each concept of the attribute at `place` was given; those left count, too."""
    counts = Counter(row[place] for row in rows)
    return {name: Fraction(count, len(rows)) for name, count in counts.items() if name != LEFT}


def as_labels(rows: Sequence[Given]) -> str:
    """Return rows as text, one picture a line."""
    return "\n".join(", ".join(row) for row in rows)
