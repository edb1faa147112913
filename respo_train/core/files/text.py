"""Text that people write: its limits, and reading it from files (presets, prompts, lists of concepts)."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

from ..errors import ModuleFileError, RespoError
from .header import opened

MOST_BYTES = 2**20
LONGEST = 100_000  # characters of what somebody writes into a field; twenty times the longest preset that ships
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def limited(text: str, what: str, most: int = LONGEST) -> str:
    """Return `text`. Every parser of text calls this first, so that none of them can be given too much work.

    `what`: what the text is to its user, for the errors ("the distribution"). Raises RespoError for more than `most`
    characters, and for anything but text: a workflow's JSON may hold anything.
    """
    if not isinstance(text, str):
        raise RespoError(f"expected {what} as text, found {type(text).__name__}. Write or link a text.")
    if len(text) > most:
        raise RespoError(f"expected {what} of at most {most:,} characters, found {len(text):,}. Shorten it.")
    return text


def read_text(path: Path, what: str, most: int = MOST_BYTES) -> str:
    """Return the text of a UTF-8 or UTF-16 file, without its byte order mark, with line feeds between the lines.

    Editors on Windows save either, with a byte order mark and a carriage return before each line feed. `what`: what the
    file is to its user, for the errors ("the preset").

    Raises RespoError: no file, no text, or more than `most` bytes.
    """
    try:
        with opened(path) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise RespoError(f"cannot read {what} at {path}: a text of at most {most:,} bytes was expected.")
        encoding = "utf-16" if data.startswith(_UTF_16) else "utf-8-sig"
        return io.IncrementalNewlineDecoder(None, translate=True).decode(data.decode(encoding), final=True)
    except UnicodeDecodeError as error:
        raise RespoError(f"cannot read {what} at {path}: no UTF-8 or UTF-16 text. Save it as UTF-8.") from error
    except ModuleFileError as error:
        raise RespoError(f"cannot read {what}: {str(error).removeprefix('cannot read ')}") from error
