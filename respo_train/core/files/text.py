"""Reading the text files that people write: presets, prompts, lists of concepts, configurations."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

from ..errors import RespoError

MOST_BYTES = 2**20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, what: str, most: int = MOST_BYTES) -> str:
    """Return the text of a UTF-8 or UTF-16 file, without its byte order mark, with line feeds between the lines.

    Editors on Windows save either, with a byte order mark and a carriage return before each line feed. `what`: what the
    file is to its user, for the errors ("the preset").

    Raises RespoError: no file, no text, or more than `most` bytes.
    """
    try:
        if not path.is_file():
            raise RespoError(f"cannot read {what} at {path}: no such file. Check its name.")
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise RespoError(f"cannot read {what} at {path}: a text of at most {most:,} bytes was expected.")
        encoding = "utf-16" if data.startswith(_UTF_16) else "utf-8-sig"
        return io.IncrementalNewlineDecoder(None, translate=True).decode(data.decode(encoding), final=True)
    except UnicodeDecodeError as error:
        raise RespoError(f"cannot read {what} at {path}: no UTF-8 or UTF-16 text. Save it as UTF-8.") from error
    except OSError as error:
        raise RespoError(f"cannot read {what} at {path}: {error.strerror or error}.") from error
