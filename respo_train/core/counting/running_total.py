"""A running total: what every picture so far was asked to show and shows, each counted once, stored as JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import RespoError
from ..pictures.compare import colours
from .fairness import Pair

MOST_PICTURES = 20_000  # about 1 MB
LARGEST = 8_000_000  # bytes; larger files are not read
END = "}}"  # of the JSON, with the pictures last: where more of them belong
_VERSION = 1
_LONGEST = 200  # characters of a label
_DIGITS = 16
_ENTRY = re.compile(r'"[^"]{16}": \["(?:[^"\\]|\\.)*", "(?:[^"\\]|\\.)*"\]')


@dataclass(frozen=True)
class Total:
    """`pictures`: the first digits of a picture's SHA-256 -> (asked, seen). `counts`: how many pictures have each pair.

    `about`: information for readers of the file.
    """

    pictures: dict[str, Pair] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    counts: Counter[Pair] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", Counter(self.pictures.values()))

    def take(self, new: Mapping[str, Pair]) -> None:
        """Count more pictures; those that were counted before stay as they are."""
        for key, pair in new.items():
            if key not in self.pictures:
                self.pictures[key] = pair
                self.counts[pair] += 1


def picture_key(image: Tensor) -> str:
    """Return 16 hexadecimal digits that identify a picture `[H, W, C]`: a hash of the bytes a saved file would have."""
    shown = np.ascontiguousarray((colours(image) * 255).round().byte().cpu().numpy())
    return hashlib.sha256(str(shown.shape).encode() + shown.tobytes()).hexdigest()[:_DIGITS]


def new_of(total: Total, keys: Sequence[str], pairs: Sequence[Pair]) -> tuple[dict[str, Pair], int]:
    """Return the pictures that the total does not have yet, and how many others of them do not fit."""
    new: dict[str, Pair] = {}
    for key, pair in zip(keys, pairs, strict=True):
        if key not in total.pictures:
            new.setdefault(key, pair)
    fitting = dict(list(new.items())[: max(0, MOST_PICTURES - len(total.pictures))])
    return fitting, len(new) - len(fitting)


def to_text(total: Total) -> str:
    """Return the content of the file. Raises RespoError for whatever `from_text` would refuse."""
    _check_entries(total.pictures)
    # Without `indent`, for which the slower of its writers would be at work.
    text = json.dumps({"version": _VERSION, "about": dict(total.about), "pictures": total.pictures})
    check_size(len(text))
    return text


def more_text(new: Mapping[str, Pair], first: bool) -> str:
    """Return what takes the place of END in the content, so that the new pictures are in it. `first`: there were none.

    Raises RespoError for whatever `from_text` would refuse.
    """
    _check_entries(new)
    return ", " * (not first) + json.dumps(new)[1:-1] + END


def from_text(text: str) -> Total:
    """Parse what `to_text` wrote. Raises RespoError for anything else."""
    check_size(len(text))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RespoError(f"no JSON ({str(error)[:80]})") from error
    if not isinstance(found, dict) or found.get("version") != _VERSION or not isinstance(found.get("pictures"), dict):
        raise RespoError(f"no running total of version {_VERSION}")
    pictures = found["pictures"]
    _check_entries(pictures)
    about = found.get("about")
    return Total({key: (pair[0], pair[1]) for key, pair in pictures.items()}, about if isinstance(about, dict) else {})


def from_more_text(text: str) -> dict[str, Pair]:
    """Return the pictures of what took the place of END. Raises RespoError for anything but what `more_text` wrote."""
    return from_text(f'{{"version": {_VERSION}, "pictures": {{{text.removeprefix(", ")}').pictures


def mended(text: str) -> str:
    """Return a content without the last picture, which was written in part when the process or the machine ended."""
    end = max((found.end() for found in _ENTRY.finditer(text)), default=0)
    return text[:end] + END


def check_size(size: int) -> None:
    """Raise RespoError for a file of more bytes than are read."""
    if size > LARGEST:
        raise RespoError(f"expected at most {LARGEST:,} bytes, found {size:,}: start the total anew")


def _check_entries(pictures: Mapping[str, Any]) -> None:
    if len(pictures) > MOST_PICTURES:
        raise RespoError(f"expected at most {MOST_PICTURES} pictures, found {len(pictures)}: start the total anew")
    for key, pair in pictures.items():
        if len(key) != _DIGITS or not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise RespoError("entries that are not pictures")
        first, second = pair
        if not (isinstance(first, str) and isinstance(second, str) and max(len(first), len(second)) <= _LONGEST):
            longest = max(len(str(label)) for label in pair)
            raise RespoError(f"expected classes of at most {_LONGEST} characters, found one of {longest}")
