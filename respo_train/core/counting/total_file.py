"""A running total in a file that grows at its end, so that an update reads and writes only what is new."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RespoError
from ..files.header import opened
from ..files.write import put_at_end, write_atomically
from .fairness import Pair
from .running_total import (
    END,
    LARGEST,
    Total,
    check_size,
    from_more_text,
    from_text,
    mended,
    more_text,
    to_text,
)


class TotalFile:
    """What this process knows of a total's file. Callers hold the file's lock, and drop this after an error.

    The file is plain JSON with the pictures last. New pictures take the place of its last two brackets. It begins with
    an id, which is another one whenever the file is written as a whole: what begins as before only has more at its end.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]):
        self.path, self.total = path, Total(about={"id": secrets.token_hex(8), **about})
        self._begins, self._size = b"", 0  # nothing is written

    def read(self) -> None:
        """Read what is new since the last time, or all. Raises ModuleFileError, and RespoError for a broken file."""
        with opened(self.path) as file:
            if self._begins and file.read(len(self._begins)) == self._begins:
                file.seek(self._size - len(END))
                with contextlib.suppress(RespoError):
                    more = _decoded(file.read(LARGEST + 1))
                    check_size(self._size + len(more))
                    self.total.take({} if more == END else from_more_text(more))
                    self._size += len(more) - len(END)
                    return
            file.seek(0)
            self._read_all(_decoded(file.read(LARGEST + 1)))

    def _read_all(self, text: str) -> None:
        try:
            found, whole = from_text(text), True
        except RespoError:
            found, whole = from_text(mended(text)), False
        self.total = Total(found.pictures, found.about if "id" in found.about else self.total.about)
        begins = _beginning(self.total)
        # A file that an older version wrote, or somebody else, or that was not written to its end, or is a link to
        # another place: the next update writes it as a whole.
        known = whole and text.encode().startswith(begins) and text == to_text(self.total)
        self._begins, self._size = (begins, len(text)) if known and not self.path.is_symlink() else (b"", 0)

    def add(self, new: Mapping[str, Pair]) -> None:
        """Count more pictures and write them. Raises RespoError when that is impossible; the file is as it was."""
        if self._begins and not new:
            return
        first = not self.total.pictures
        self.total.take(new)
        if self._begins:
            more = more_text(new, first).encode()
            check_size(self._size + len(more))
            put_at_end(self.path, END.encode(), more)
            self._size += len(more) - len(END)
        else:
            self.total = Total(self.total.pictures, {**self.total.about, "id": secrets.token_hex(8)})
            data = to_text(self.total).encode()
            write_atomically(self.path, data)
            self._begins, self._size = _beginning(self.total), len(data)


def _beginning(total: Total) -> bytes:
    """Return the first bytes of the total's file, with its id. The rest of the file can have any length."""
    return to_text(Total(about={"id": total.about["id"]})).partition('}, "pictures"')[0].encode()


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RespoError(f"no text ({error.reason})") from error
