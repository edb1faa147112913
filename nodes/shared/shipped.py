"""The modules that ship with the pack: what is in them is known, and no other file can take their place."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ...respo_train.core.errors import ModuleFileError
from ...respo_train.core.files.checkpoint import file_sha256

FOLDER = Path(__file__).resolve().parents[2] / "emoji_world" / "modules"
SHA256 = {
    "emoji_world_gender.safetensors": "74cb562dc50cef16211d572068e17b1ac59a23d783acbdfee28bbbce880cdd84",
    "emoji_world_no_weapons.safetensors": "090754092373d1901f6da365db62f24c6566dacebee1a2a920a4624620bb99c4",
    "emoji_world_skin_tone.safetensors": "afa9c04d6b17bc7ab360f5e89d20d5b4fa46f71d179143a0ae7c0307c681e6d5",
    "emoji_world_transformer_gender.safetensors": "3c1b8589a3d44bd53ac9b3103066b635d652d0bbde8bfde8989711ea9dcc4313",
}


def shipped_name(relative: PurePosixPath) -> str | None:
    """Return the shipped file whose name this is, in whatever folder and spelling; None for any other name."""
    marks = unicodedata.normalize("NFKD", relative.name)
    seen = "".join(mark for mark in marks if unicodedata.category(mark)[0] not in "CMZ")  # no accents, nothing unseen
    name = seen.casefold().rstrip(".")
    return name if name in SHA256 else None


def shipped_file(relative: PurePosixPath) -> Path | None:
    """Return the shipped file of this name, None where there is none. Raises ModuleFileError when it was changed."""
    name = shipped_name(relative)
    if name is None or len(relative.parts) > 1:
        return None
    path = FOLDER / name
    if not path.is_file():
        raise ModuleFileError(f"{name!r} ships with Respo, but is missing from {FOLDER}. Install Respo again.")
    stamp = path.stat()
    if _hashed(path, stamp.st_mtime_ns, stamp.st_size) != SHA256[name]:
        raise ModuleFileError(f"{path} is not the file that ships with Respo. Install Respo again.")
    return path


@lru_cache(maxsize=64)
def _hashed(path: Path, _changed: int, _size: int) -> str:
    return file_sha256(path)
