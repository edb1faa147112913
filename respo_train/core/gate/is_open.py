"""Whether a prompt leaves an attribute open: the one question that Gate, Balance and evaluation ask.

There is one definition, in the help page of the Gate, and two readers of a prompt. One reads its words (decide.py). It
knows many, but it needs the text. The other is the module's probe, which reads the prompt's encoding. That is all that
a U-Net's call holds, but the probe knows few words. Neither of them can replace the other, so a prompt is open only
where each reader that could be asked says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import RespoError
from ..files.text import limited
from ..module.attribute import Attribute, check_name
from ..module.probe import PromptProbe
from .decide import Decision, decide
from .prompt_text import MAX_CHARACTERS


def is_open(
    attribute: Attribute, prompt: str | None = None, encoded: Tensor | None = None, override: str = ""
) -> Decision:
    """Decide from a prompt's words, from its encoding `[1, tokens, D]`, or from both.

    `override`: see `words_of`. A safety attribute is always open: the words of a prompt must not be able to switch it
    off. So is an attribute without a probe where there is no text. Raises RespoError, as `decide` and `words_of` do.
    """
    if attribute.purpose == "safety":
        return Decision(True, f"Open: {attribute.name} is about safety, so it acts on every prompt.")
    said = Decision(True, "Open: nothing was read that says otherwise.")
    if prompt is not None:
        said = decide(prompt, words_of(attribute, override))
    probe = probe_of(attribute)
    if said.open and probe is not None and encoded is not None and not probe.leaves_open(encoded).item():
        return Decision(False, "Closed: the module's probe finds nobody, or a word that says who.")
    return said


def probe_of(attribute: Attribute) -> PromptProbe | None:
    """Return the probe to ask about each row of a model's call; None for a module that acts on every prompt."""
    return None if attribute.purpose == "safety" else attribute.probe


def words_of(attribute: Attribute, override: str = "") -> dict[str, Sequence[str]]:
    """Return an attribute's word lists for `decide`. A concept without a list is stated by its own name.

    `override`: lines like "woman: lady, she", each replacing the list of that name. Raises RespoError for any other
    line.
    """
    words: dict[str, Sequence[str]] = {name: [name] for name in attribute.concepts} | dict(attribute.words)
    for line in filter(str.strip, limited(override, "the words", MAX_CHARACTERS).splitlines()):
        group, colon, entries = line.partition(":")
        if not colon:
            raise RespoError(f"expected lines like 'woman: lady, she', found {line[:80]!r}.")
        check_name("group of words", group.strip())
        words[group.strip()] = [entry.strip() for entry in entries.split(",") if entry.strip()]
    return words
