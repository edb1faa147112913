"""The prompts of open_prompts.toml, which the Gate and the probes must both read as its definition says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from respo_train.settings.toml_text import tomllib


class Asked(NamedTuple):
    """A prompt and its right answer. `held_out`: not looked at while anything is mended."""

    attribute: str
    prompt: str
    open: bool
    held_out: bool


def asked() -> list[Asked]:
    """Return all prompts; every third of each list is held out."""
    kinds = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return [
        Asked(attribute, prompt, answer == "open", place % 3 == 2)
        for kind in kinds.values()
        for attribute, lists in kind.items()
        for answer, prompts in lists.items()
        for place, prompt in enumerate(prompts)
    ]


def accuracy(prompts: Sequence[Asked], answer: Callable[[Asked], bool]) -> dict[bool, float]:
    """Return the share of right answers among the prompts that may be looked at, and (True) those held out."""
    found: dict[bool, list[bool]] = {False: [], True: []}
    for one in prompts:
        found[one.held_out].append(answer(one) == one.open)
    return {held_out: sum(right) / len(right) for held_out, right in found.items()}
