"""Which pictures of a run a balanced concept is added to, as edits of h."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ...respo_train.core.counting.seats import Seats
from ...respo_train.core.errors import RespoError
from ...respo_train.core.gate.is_open import probe_of
from ..shared.wire import LoadedModule
from .edits import ModuleEdit, PicturesWithConcept


@dataclass(frozen=True)
class BalancedAttribute:
    """One attribute to balance. `strength`: the node's strength times the attribute's scale."""

    module: LoadedModule
    shares: Mapping[str, Fraction]
    strength: float


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
        ModuleEdit.of(
            one.module,
            concept,
            one.strength,
            fidelity=fidelity,
            sigmas=sigmas,
            guidance=one.module.guidance_in_batches,
            images=PicturesWithConcept(seats, place, concept, told),
            probe=probes[place],
        )
        for place, one in enumerate(balanced)
        for concept, share in one.shares.items()
        if share > 0
    ]
