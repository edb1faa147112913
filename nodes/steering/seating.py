"""Which pictures of a run a balanced concept is added to, as edits of h."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ...respo_train.core.counting.seats import Seats
from ...respo_train.core.errors import RespoError
from ...respo_train.core.gate.is_open import probe_of
from ..shared.wire import LoadedModule
from .edits import ModuleEdit


@dataclass(frozen=True)
class BalancedAttribute:
    """One attribute to balance. `strength`: the node's strength times the attribute's scale."""

    module: LoadedModule
    shares: Mapping[str, Fraction]
    strength: float


@dataclass(frozen=True)
class PicturesWithConcept:
    """Says which pictures of a run get `concept` of the attribute at index `place`, see `edits.Images`.

    `told`: how many pictures the node was told of.
    """

    seats: Seats
    place: int
    concept: str
    told: int

    @property
    def follows(self) -> bool:
        """Whether that depends on the run's noise seed."""
        return self.seats.follows

    @property
    def choice(self) -> tuple[Hashable, Hashable]:
        """See `edits.Images`: one concept of an attribute excludes the others."""
        return (self.seats, self.place), self.concept

    def __call__(self, count: int, seed: int | None) -> list[bool]:
        """Return one flag for each of `count` pictures."""
        flags = [given[self.place] == self.concept for given in self.seats.of(count, seed)]
        if count == 1 < self.told and not self.follows and flags[0]:
            logging.warning(
                "Respo: Balance was told of %d pictures, but this one is drawn alone and gets the first one's concept, "
                "%s. For detailers and lists set Balance's seed_from to 'the sampler'.",
                self.told,
                self.concept,
            )
        return flags


def require_different(balanced: Sequence[BalancedAttribute]) -> None:
    """Raise RespoError when two modules balance the same concept: their shares would contradict each other."""
    names = Counter(name for one in balanced for name in one.shares)
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise RespoError(
            f"expected different concepts in each of the modules, found {twice[0]!r} twice. Link another module, or "
            "list in each distribution only the concepts to use."
        )


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


def edits_of(
    balanced: Sequence[BalancedAttribute],
    seats: Seats,
    told: int,
    fidelity: float,
    sigmas: tuple[float, float],
    only_open_prompts: bool,
) -> list[ModuleEdit]:
    """Return one edit for each concept with a share above 0, over all attributes; `told`: how many pictures."""
    probes = [probe_of(one.module.attribute) if only_open_prompts else None for one in balanced]
    return [
        ModuleEdit(
            sha256=one.module.sha256,
            concept=concept,
            strength=one.strength,
            fidelity=fidelity,
            sigmas=sigmas,
            guidance=one.module.guidance_in_batches,
            module=one.module.attribute.concept(concept),
            images=PicturesWithConcept(seats, place, concept, told),
            probed=probes[place] is not None,
            probe=probes[place],
            file=one.module.file,
            block=one.module.attribute.architecture.block,
        )
        for place, one in enumerate(balanced)
        for concept, share in one.shares.items()
        if share > 0
    ]
