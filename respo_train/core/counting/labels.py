"""Labels of pictures as text, one a line: read them, and put them into a file's name."""

from __future__ import annotations

from ..errors import RespoError

LONGEST = 200  # characters
_LONGEST_IN_NAME = 40


def parse_labels(text: str, count: int) -> list[str]:
    """Return one label for each of `count` pictures, all "" when `text` is blank.

    One line for all pictures is refused, too: with Balance's *count* left at 1 every picture would get the first one's
    label, and most would be wrong. Raises RespoError.
    """
    if not text.strip():
        return [""] * count
    labels = [line.strip() for line in text.removesuffix("\n").split("\n")]
    if len(labels) != count:
        raise RespoError(
            f"expected one label for each of the {count} pictures, one a line, found {len(labels)}. Set the count of "
            "the Balance node to the batch size, or leave the labels empty."
        )
    longest = max(map(len, labels))
    if longest > LONGEST:
        raise RespoError(f"expected labels of at most {LONGEST} characters, found one of {longest}.")
    return labels


def for_file_name(label: str) -> str:
    """Return a label as a part of a file's name: letters, digits, - and _, at most 40 of them.

    "woman, dark" becomes "woman-dark"; a label with none of these becomes "".
    """
    kept = "".join(letter if letter.isalnum() or letter in "-_" else " " for letter in label)
    return "-".join(kept.split())[:_LONGEST_IN_NAME].strip("-_")
