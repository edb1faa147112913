"""How text of strangers is shown: on terminals, in pages, on nodes and in errors.

Names and metadata may hold terminal escapes, which can hide or rewrite what was printed before, marks that turn the
direction of writing round, which can make one name look like another, and line breaks, which can add a line that we
never wrote.
"""

from __future__ import annotations

import unicodedata
from typing import Any

_LONGEST = 80
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, format marks, lone surrogates, separators of lines and paragraphs
_KEPT = {"\n", "\t", "\u200d"}  # U+200D joins the parts of an emoji


def printable(text: str) -> str:
    r"""Return `text` with every invisible mark written out, as in "\u202e" or "\x1b"; line feeds and tabs stay."""
    if text.isascii() and text.replace("\n", " ").replace("\t", " ").isprintable():
        return text
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) in _HIDDEN and letter not in _KEPT else letter
        for letter in text
    )


def one_line(value: Any, most: int | None = 200) -> str:
    """Return a foreign value, at most `most` characters of it, for a line of a text that has others; never raises."""
    try:
        text = str(value)[:most]
    except (ValueError, RecursionError):  # a whole number of thousands of digits; lists without bottom
        text = f"a {type(value).__name__}"
    return printable(text).replace("\n", " ")


def shown(value: Any, most: int = _LONGEST) -> str:
    """Return what a foreign value is, text in quotes, as `one_line` does."""
    return printable(repr(value[:most])) if isinstance(value, str) else one_line(value, most)
