"""How text of strangers is shown: on terminals, in pages, on nodes and in errors.

Names and metadata may hold terminal escapes, which can hide or rewrite what was printed before, and marks that turn the
direction of writing round, which can make one name look like another.
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


def shown(value: Any, most: int = _LONGEST) -> str:
    """Return at most `most` characters that say what a foreign value is; never raises."""
    try:
        text = repr(value[:most]) if isinstance(value, str) else str(value)[:most]
    except (ValueError, RecursionError):  # a whole number of thousands of digits; lists without bottom
        text = f"a {type(value).__name__}"
    return printable(text).replace("\n", " ")
