"""An attribute and its concepts: the content of one module file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import RespoError, UnknownConcept
from ..shown import one_line
from .architecture import Architecture
from .concept import ConceptModule
from .probe import PromptProbe

PURPOSES = ("fairness", "safety")
# Names occur in share lists ("woman 1, man 1") and tensor keys ("woman.responsible"): no commas, no dots.
_NAME = re.compile(r"\w(?:[\w '+-]{0,62}[\w+'])?")


@dataclass(frozen=True, eq=False)
class Attribute:
    """An attribute: its concepts, in order, and what is known about them.

    `base`: name, sha256 and fingerprint of the checkpoint it was trained on. `training`: everything needed to train it
    again. `words`: the words that state a concept in a prompt ("woman" -> "female", "her", …), so that such prompts are
    not balanced; every key is a concept, or a further group such as "person". `probe`: decides from the encoded prompt
    whether it leaves the attribute open; None when none was trained. Raises RespoError when the parts do not fit
    together.
    """

    name: str
    purpose: str
    concepts: Mapping[str, ConceptModule]
    architecture: Architecture
    base: Mapping[str, Any]
    training: Mapping[str, Any]
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    probe: PromptProbe | None = None

    def __post_init__(self) -> None:
        check_name("attribute", self.name)
        if self.purpose not in PURPOSES:
            raise RespoError(f"expected the purpose {' or '.join(PURPOSES)}, found {str(self.purpose)[:80]!r}")
        if not self.concepts:
            raise RespoError(f"expected at least one concept in the attribute {self.name!r}, found none")
        if not all(isinstance(x, float) and math.isfinite(x) for x in _listed(self.base.get("fingerprint", ()))):
            raise RespoError("expected the base's fingerprint as a list of finite numbers, found something else")
        for group, words in self.words.items():
            check_name("group of words", group)
            if not isinstance(words, (list, tuple)) or not all(isinstance(w, str) and w.strip() for w in words):
                raise RespoError(f"expected the words of {group!r} as a list of texts, found {str(words)[:80]!r}")
        if self.probe is not None and self.probe.width != self.architecture.context_dim:
            raise RespoError(
                f"expected a probe for encodings of width {self.architecture.context_dim} for "
                f"{self.architecture.describe()}, found {self.probe.width}"
            )
        for name, module in self.concepts.items():
            check_name("concept", name)
            if module.channels != self.architecture.middle_channels:
                raise RespoError(
                    f"expected {self.architecture.middle_channels} channels for {self.architecture.describe()}, "
                    f"but the concept {name!r} has {module.channels}"
                )

    @property
    def made_on(self) -> str:
        """The name of the checkpoint it was trained on, for people: one line of at most 200 characters."""
        return one_line(self.base.get("name", "an unnamed checkpoint"))

    @property
    def acts_on_both(self) -> bool:
        """Whether it was made for both halves of guidance; otherwise for the conditional one."""
        return self.training.get("half") == "both"

    @property
    def acts_on_both_in_batches(self) -> bool:
        """The same in nodes that assign concepts to the pictures of a batch or to switches, and offer no choice.

        Modules that we trained act on the conditional half there, whatever their objective: saved workflows and the
        published figures were drawn so. An imported one acts as its authors meant it to.
        """
        return self.acts_on_both and "imported" in self.training

    def concept(self, name: str) -> ConceptModule:
        """Return one concept's module. Raises UnknownConcept, which lists the known ones."""
        if name not in self.concepts:
            raise UnknownConcept(f"{self.name!r} has no concept {name!r}; it has {', '.join(self.concepts)}.")
        return self.concepts[name]


def direction_of(concept: str, training: Mapping[str, Any]) -> str:
    """Return "towards woman"; "away from violence" where an imported concept keeps out what it is named for.

    `training`: an attribute's metadata, which may come from a stranger.
    """
    imported = training.get("imported")
    away = imported.get("away") if isinstance(imported, Mapping) else None
    kept_out = away.get(concept) if isinstance(away, Mapping) else None
    return f"towards {concept}" if kept_out is None else f"away from {str(kept_out)[:64]}"


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def check_name(what: str, name: Any) -> None:
    """Raise RespoError unless `name` can be used in a tensor key and in a list of shares."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RespoError(
            f"expected the {what}'s name as 1 to 64 letters, digits, spaces, _ ' + or -, found {str(name)[:80]!r}"
        )
