"""Errors for users. Each says what was expected, what was found and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .shown import printable


@dataclass(frozen=True)
class Remedy:
    """An option to set, and to what if that matters. Each front end has its own words for it: see `RespoError.worded`.

    `option`: named as in Python ("overwrite", "precision"), never as on the command line or on a node.
    """

    option: str
    value: object = None


class RespoError(ValueError):
    """An error that the user can fix; it is shown without a traceback.

    `message`: what was expected and found, and what to do where that is the same in every front end. `remedies`: the
    options of a front end of which any one helps.
    """

    def __init__(self, message: str = "", *remedies: Remedy):
        self.message, self.remedies = printable(message), remedies  # it may quote a stranger
        super().__init__(self.message)

    def worded(self, words: Mapping[str, str]) -> str:
        """Return the whole text. `words`: for each option what to do, with {} where its value belongs."""
        if not self.remedies:
            return self.message
        ways = [words.get(one.option, _neutral(one)).format(one.value) for one in self.remedies]
        return printable(f"{self.message.rstrip('.:')}: {', or '.join(ways)}.")

    def __str__(self) -> str:
        return self.worded({})


def _neutral(remedy: Remedy) -> str:
    return remedy.option if remedy.value is None else f"{remedy.option} {{}}"


class ModuleFileError(RespoError):
    """The file is missing, damaged, or not a module file."""


class ArchitectureMismatch(RespoError):
    """The module was made for another architecture than the model's."""


class UnknownConcept(RespoError):
    """The attribute has no concept of this name."""


class RespoWarning(UserWarning):
    """Something the user should know, but that does not stop the work."""
