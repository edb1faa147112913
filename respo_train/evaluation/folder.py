"""Any folder of pictures: which files are pictures, which were left out and why, and the pixels of one."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ..core.errors import RespoError
from ..core.files.header import opened

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
# Pillow goes by what is in a file, not by its name, and lets another program (Ghostscript) run what is in an EPS.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
# What Pillow raises for files that are no pictures, damaged or too large.
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError)
_LARGEST = 100_000_000  # pixels of a file that is opened
_DEEPEST = 64  # folders in one another; Python gives up at a thousand
_SIDE = 2048  # pixels: larger ones are made smaller at once


@dataclass(frozen=True)
class Found:
    """`pictures`: (group, file), the group being the subfolder or ""; `skipped`: (file, why); `others`: no pictures."""

    root: Path
    pictures: tuple[tuple[str, Path], ...]
    skipped: tuple[tuple[str, str], ...]
    others: int


def find_pictures(folder: Path) -> Found:
    """Look through a folder and all below it. Links are followed only where they lead to a file inside the folder.

    Raises RespoError when it is no folder or holds no picture.
    """
    if not folder.is_dir():
        raise RespoError(
            f"expected a folder with pictures, found {'a file' if folder.exists() else 'nothing'} at {folder}."
        )
    root = folder.resolve()
    pictures: list[tuple[str, Path]] = []
    skipped: list[tuple[str, str]] = []
    others = 0
    unread: list[OSError] = []
    for place, folders, files in os.walk(root, onerror=unread.append):
        folders.sort()
        if len(Path(place).relative_to(root).parts) == _DEEPEST:
            skipped += [(name_of(Path(place) / name, root), f"below {_DEEPEST} folders") for name in folders]
            folders.clear()
        paths = [Path(place) / name for name in folders]
        skipped += [(name_of(path, root), "a link to a folder") for path in paths if path.is_symlink()]
        group = "" if Path(place) == root else name_of(Path(place), root).split(os.sep)[0]
        for path in (Path(place) / name for name in sorted(files)):
            if path.suffix.lower() not in ENDINGS:
                others += 1
            elif why := _refused(path, root):
                skipped.append((name_of(path, root), why))
            else:
                pictures.append((group, path))
    skipped += [(name_of(Path(error.filename), root), error.strerror or "cannot be read") for error in unread]
    if not pictures:
        raise RespoError(
            f"expected pictures ({', '.join(sorted(ENDINGS))}) in {folder}, found none. {_told(skipped)}".strip()
        )
    return Found(root, tuple(pictures), tuple(skipped), others)


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture as a viewer shows it, turned upright, `[H, W, 3]`; of a film its first picture.

    Raises RespoError, whose text says why, for a file that is no picture, is damaged or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; the size is checked here
            with opened(path) as file, Image.open(file, formats=FORMATS) as picture:
                if picture.width * picture.height > _LARGEST:
                    raise RespoError(f"larger than {_LARGEST // 10**6} megapixels")
                picture.draft("RGB", (_SIDE, _SIDE))
                shown = ImageOps.exif_transpose(picture).convert("RGB")
                shown.thumbnail((_SIDE, _SIDE))
                return np.array(shown, dtype=np.uint8)
    except UnidentifiedImageError as error:
        raise RespoError("no picture, whatever its name says") from error
    except DAMAGED as error:
        raise RespoError(f"damaged ({' '.join(str(error).split())[:80]})") from error


def name_of(path: Path, root: Path) -> str:
    """Return where a file is in the folder, in letters that can be printed, whatever bytes its name is made of."""
    return os.fsencode(path.relative_to(root)).decode("utf-8", "replace")


def by_reason(skipped: tuple[tuple[str, str], ...], most: int = 20) -> list[str]:
    """Return a line for each file that was left out, at most `most`, and one that counts the rest."""
    lines = [f"{name}: {why}" for name, why in skipped[:most]]
    return [*lines, f"and {len(skipped) - most} more"] if len(skipped) > most else lines


def _refused(path: Path, root: Path) -> str:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # the latter for a circle of links, before Python 3.13
        return "a link to nothing"
    if not target.is_relative_to(root):
        return "a link out of the folder"
    return "" if target.is_file() else "no file"  # opening a pipe would wait for its other end


def _told(skipped: list[tuple[str, str]]) -> str:
    counts = Counter(why for _, why in skipped)
    return f"Left out: {', '.join(f'{number} × {why}' for why, number in counts.items())}." if counts else ""
