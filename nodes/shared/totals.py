"""Running totals on disk: a small file for each in the host's user folder, so they survive a restart."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths

from ...respo_train.core.counting.fairness import Pair
from ...respo_train.core.counting.running_total import MOST_PICTURES, new_of
from ...respo_train.core.counting.total_file import TotalFile
from ...respo_train.core.errors import ModuleFileError, RespoError
from ...respo_train.core.files.write import locked, make_folder

_KNOWN: dict[Path, TotalFile] = {}  # what this process has read, the latest used last
_MOST_KNOWN = 16  # about 4 MB each when full


def count(
    key: str, pictures: Sequence[str], pairs: Sequence[Pair], about: Mapping[str, Any], anew: bool
) -> tuple[Mapping[Pair, int], str]:
    """Add pictures to the total `key`, or to an empty one if `anew`; return how many show each pair, and a note.

    Other processes that count at the same time wait, so that no picture is lost. Pictures that are already in the total
    are not counted again. When the file can neither be read nor renamed, it is left alone and only the given pairs are
    counted. When it cannot be written, the note says so.
    """
    path = folder() / f"{key}.json"
    with _held() as refused:
        try:
            file, note = (TotalFile(path, about), "Running total started anew.") if anew else _read(path, about)
        except OSError as error:
            reason = error.strerror or error
            return Counter(pairs), f"The running total cannot be read ({reason}), so only these pictures are counted."
        new, left_out = new_of(file.total, pictures, pairs)
        refused = refused or _save(file, new)
        file.total.take(new)  # also when nothing could be saved
    known = len(pairs) - len(new) - left_out
    notes = [note, f"Running total: {len(file.total.pictures)} pictures, {len(new)} of them new."]
    if known:
        notes.append(f"{known} {'was' if known == 1 else 'were'} counted before and not again.")
    if left_out:
        notes.append(f"It is full at {MOST_PICTURES}: {left_out} were not counted. Start it anew.")
    if refused:
        notes.append(f"It could not be saved, and the next run will not know these pictures: {refused}")
    return file.total.counts, " ".join(filter(None, notes))


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


def _save(file: TotalFile, new: Mapping[str, Pair]) -> str:
    """Add pictures and keep what is known of the file; return "", or why it cannot be written."""
    try:
        file.add(new)
    except RespoError as error:
        return str(error)
    while len(_KNOWN) >= _MOST_KNOWN:
        del _KNOWN[next(iter(_KNOWN))]
    _KNOWN[file.path] = file
    return ""


def _read(path: Path, about: Mapping[str, Any]) -> tuple[TotalFile, str]:
    """Return a total's file and a note. A broken one is renamed, never overwritten. Raises OSError."""
    file = _KNOWN.pop(path, None) or TotalFile(path, about)
    if not os.path.lexists(path):
        return TotalFile(path, about), ""
    try:
        file.read()
        return file, ""
    except ModuleFileError as error:
        raise error.__cause__ if isinstance(error.__cause__, OSError) else OSError(str(error)) from None
    except RespoError as error:
        number = 1
        while (aside := path.with_name(f"{path.stem}.broken-{number}.json")).exists():
            number += 1
        path.rename(aside)
        logging.warning("Respo: %s is broken (%s) and was renamed to %s.", path, error, aside.name)
        note = f"The running total was broken ({error}); it was kept as {aside.name}, and a new one begins."
        return TotalFile(path, about), note
