"""Running totals on disk: a small file for each in the host's user folder, so they survive a restart."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths

from ...respo_train.core.counting.fairness import Pair
from ...respo_train.core.counting.running_total import LARGEST, MOST_PICTURES, Total, add, from_text, to_text
from ...respo_train.core.errors import ModuleFileError, RespoError
from ...respo_train.core.files.header import opened
from ...respo_train.core.files.write import locked, make_folder, write_atomically


def count(
    key: str, pictures: Sequence[str], pairs: Sequence[Pair], about: Mapping[str, Any], anew: bool
) -> tuple[list[Pair], str]:
    """Add pictures to the total `key`, or to an empty one if `anew`; return all its pairs, and a note to show.

    Other processes that count at the same time wait, so that no picture is lost. Pictures that are already in the total
    are not counted again. When the file can neither be read nor renamed, it is left alone and only the given pairs are
    returned. When it cannot be written, the note says so.
    """
    path = folder() / f"{key}.json"
    with _held() as refused:
        try:
            before, note = (Total(), "Running total started anew.") if anew else _read(path)
        except OSError as error:
            return list(pairs), f"The running total cannot be read ({error.strerror or error}): these pictures alone."
        total, new, left_out = add(Total(before.pictures, about), pictures, pairs)
        refused = refused or _save(path, total)
    known = len(pairs) - new - left_out
    notes = [note, f"Running total: {len(total.pictures)} pictures, {new} of them new."]
    if known:
        notes.append(f"{known} {'was' if known == 1 else 'were'} counted before and not again.")
    if left_out:
        notes.append(f"It is full at {MOST_PICTURES}: {left_out} were not counted. Start it anew.")
    if refused:
        notes.append(f"It could not be saved, and the next run will not know these pictures: {refused}")
    return list(total.pictures.values()), " ".join(filter(None, notes))


def folder() -> Path:
    """Return the folder of the totals: next to the settings of the host's only (or default) user."""
    return Path(folder_paths.get_user_directory()) / "default" / "respo" / "running_totals"


@contextlib.contextmanager
def _held() -> Iterator[str]:
    """Let no other process change the totals; yield "", or why they cannot be written."""
    with contextlib.ExitStack() as held:
        refused = ""
        try:
            make_folder(folder().parent)
            held.enter_context(locked(folder()))
            make_folder(folder())
        except RespoError as error:
            refused = str(error)
        yield refused


def _save(path: Path, total: Total) -> str:
    """Write a total; return "", or why that is impossible."""
    try:
        write_atomically(path, to_text(total).encode())
    except RespoError as error:
        return str(error)
    return ""


def _content(path: Path) -> bytes:
    """Return one byte more than a total may have, at most. Raises OSError for what cannot be read, or is no file."""
    try:
        with opened(path) as file:
            return file.read(LARGEST + 1)
    except ModuleFileError as error:
        raise error.__cause__ if isinstance(error.__cause__, OSError) else OSError(str(error)) from None


def _read(path: Path) -> tuple[Total, str]:
    """Return a total and a note. A broken file is renamed, never overwritten. Raises OSError."""
    try:
        if not os.path.lexists(path):
            return Total(), ""
        data = _content(path)
        if len(data) > LARGEST:
            raise RespoError("far too large")
        return from_text(data.decode("utf-8")), ""
    except (RespoError, UnicodeDecodeError) as error:
        number = 1
        while (aside := path.with_name(f"{path.stem}.broken-{number}.json")).exists():
            number += 1
        path.rename(aside)
        logging.warning("Respo: %s is broken (%s) and was renamed to %s.", path, error, aside.name)
        return Total(), f"The running total was broken ({error}); it was kept as {aside.name}, and a new one begins."
