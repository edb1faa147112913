"""Labels of pictures as text, one per line: parse them, and make them fit for file names."""

from __future__ import annotations

import re

from ..errors import RespoError
from ..files.text import limited

LONGEST = 200  # characters
MOST = 4096  # as many as Balance's count
_LONGEST_IN_NAME = 40
_SHARES = re.compile(r"[^\d,;]+ (?:\d+\.?\d*|\.\d+)(?:[,;] ?[^\d,;]+ (?:\d+\.?\d*|\.\d+))*[,;]?")


def parse_labels(text: str, count: int) -> list[str]:
    """Return one label for each of `count` pictures; all "" when `text` is blank.

    A single line for several pictures is refused too: it would come from a Balance whose *count* was left at 1, and
    most pictures would get a wrong label. Raises RespoError.
    """
    if not limited(text, "the labels", (LONGEST + 1) * max(MOST, count)).strip():
        return [""] * count
    labels = [line.strip() for line in text.removesuffix("\n").split("\n")]
    if len(labels) != count:
        raise RespoError(
            f"expected one label for each of the {count} pictures, one per line, found {len(labels)}. "
            f"{_advice(text, len(labels), count)}"
        )
    longest = max(map(len, labels))
    if longest > LONGEST:
        raise RespoError(f"expected labels of at most {LONGEST} characters, found one of {longest}.")
    return labels


def _advice(text: str, found: int, count: int) -> str:
    if found == 1 and _SHARES.fullmatch(text.strip()[:LONGEST]):
        return (
            f"The input 'labels' was given shares ({text.strip()[:40]!r}), which belong in Balance's 'distribution'. "
            "Link the output 'labels' of Balance to it."
        )
    if count == 1:
        return (
            "The input 'images' gets the pictures one at a time, as a list, and 'labels' those of all of them. Put "
            "Rebatch Images before 'images', with its batch_size set to the number of pictures."
        )
    return "Set the count of the Balance node to the batch size, or leave the labels empty."


def for_file_name(label: str) -> str:
    """Return a label in a form for file names: letters, digits, - and _, at most 40 characters.

    "woman, dark" becomes "woman-dark". A label with no such characters becomes "".
    """
    kept = "".join(letter if letter.isalnum() or letter in "-_" else " " for letter in label)
    return "-".join(kept.split())[:_LONGEST_IN_NAME].strip("-_")
