"""Which modules act on which picture: exact shares of every combination of concepts, with or without the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

from torch import Tensor

from ..core.counting.joint import assign_jointly
from ..core.errors import RespoError
from ..core.gate.is_open import is_open
from ..core.module.attribute import Attribute
from ..core.module.compose import Term, weighted_sum
from ..core.module.concept import ConceptModule
from ..latents.sampling import Half
from .drawn import BETWEEN
from .protocol import Ask

BEFORE, AFTER, GATED = "before", "after", "gated"
Act = tuple[tuple[int, str], ...]  # the modules' numbers, and the concept of each: what acts on one picture


@dataclass(frozen=True, eq=False)
class Module:
    """One module file and how strongly it acts."""

    attribute: Attribute
    file: str
    sha256: str
    strength: float = 1.0

    @property
    def is_safety(self) -> bool:
        """Safety acts on every picture; fairness shares its concepts out."""
        return self.attribute.purpose == "safety"


class Steering:
    """The modules of one evaluation. Raises RespoError when they cannot act together.

    `encode`: prompt -> its encoding `[1, tokens, D]`. With it, modules that have a probe leave the same prompts alone
    as under Balance.
    """

    def __init__(self, modules: Sequence[Module], encode: Callable[[str], Tensor] | None = None):
        self.modules = tuple(modules)
        self._encode = encode
        self.fair = [number for number, module in enumerate(modules) if not module.is_safety]
        self.safe = [number for number, module in enumerate(modules) if module.is_safety]
        names = [module.attribute.name for module in modules]
        if len(set(names)) < len(names):
            raise RespoError(f"expected modules of different attributes, found {', '.join(names)}")
        halves = {str(module.attribute.training.get("half", "cond")) for module in modules} or {"cond"}
        if len(halves) > 1 or not halves <= {"cond", "both"}:
            raise RespoError(
                f"expected modules that act on the same half of guidance, found {', '.join(sorted(halves))}. Evaluate "
                "them one at a time."
            )
        self.half = cast(Half, halves.pop())
        self._built: dict[Act, ConceptModule] = {}

    def concepts(self) -> list[str]:
        """Return the concepts that are shared out."""
        return [name for number in self.fair for name in self.modules[number].attribute.concepts]

    def purposes(self) -> list[str]:
        """Return what the modules are for."""
        return list(dict.fromkeys(module.attribute.purpose for module in self.modules))

    def acts(self, ask: Ask, variant: str) -> list[Act]:
        """Return what acts on each picture of `ask` "before" (nothing), "after", and after the gate ("gated")."""
        if variant == BEFORE:
            return [()] * ask.count
        always = tuple((number, name) for number in self.safe for name in self.modules[number].attribute.concepts)
        acting = [n for n in self.fair if self._reads_open(n, ask.prompt)]
        acting = [n for n in acting if variant == AFTER or self._open(n, ask.prompt)]
        wishes = self._shared_out(ask)
        return [tuple((n, wish[self.fair.index(n)]) for n in acting) + always for wish in wishes]

    def asked(self, ask: Ask) -> list[str]:
        """Return what each picture of `ask` is to show after: what its prompt states, else its share."""
        if ask.states:
            return [ask.states] * ask.count
        return [BETWEEN.join(wish) for wish in self._shared_out(ask)]

    def module(self, act: Act) -> ConceptModule | None:
        """Return the sum of the modules that act, None for none."""
        if not act:
            return None
        if act not in self._built:
            terms = [Term(self.modules[n].attribute, name, self.modules[n].strength) for n, name in act]
            (self._built[act],) = weighted_sum(terms, "sum").concepts.values()
        return self._built[act]

    def _shared_out(self, ask: Ask) -> list[tuple[str, ...]]:
        if not self.fair:
            return [()] * ask.count
        return assign_jointly(ask.seed, range(ask.count), [self._shares(number) for number in self.fair])

    def _shares(self, number: int) -> Mapping[str, Fraction]:
        names = list(self.modules[number].attribute.concepts)
        return {name: Fraction(1, len(names)) for name in names}

    def _reads_open(self, number: int, prompt: str) -> bool:
        attribute = self.modules[number].attribute
        if attribute.probe is None or self._encode is None:
            return True
        return is_open(attribute, encoded=self._encode(prompt).cpu()).open

    def _open(self, number: int, prompt: str) -> bool:
        return is_open(self.modules[number].attribute, prompt).open
