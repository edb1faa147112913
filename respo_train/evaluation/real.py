"""Real pictures from this computer, to compare drawn ones with."""

from __future__ import annotations

import tokenize
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..core.errors import RespoError
from ..core.files.header import opened
from .drawn import Drawn
from .folder import find_pictures, read_picture

MOST = 5000  # pictures that are looked at, evenly spaced
# What NumPy raises for a broken header, which it reads as Python's own literals.
_DAMAGED: tuple[type[Exception], ...] = (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError)
_DAMAGED += (RecursionError, MemoryError, tokenize.TokenError)


def read_real(path: Path, size: tuple[int, int]) -> list[Drawn]:
    """Return real pictures from a folder of image files or an `.npy` of bytes `[N, H, W, 3]`.

    Image files are cropped and scaled to `size`, (height, width), that of the drawn ones. Raises RespoError.
    """
    if path.suffix == ".npy":
        return [_read_array(path)]
    files = sorted(file for _, file in find_pictures(path).pictures)
    if len(files) < 2:
        raise RespoError(f"expected a folder with real pictures, or an .npy file of them, found {len(files)} at {path}")
    chosen = [files[int(i)] for i in np.linspace(0, len(files) - 1, min(len(files), MOST))]
    return [Drawn("real", str(file.name), _picture(file, size)[None], ("",)) for file in chosen]


def _read_array(path: Path) -> Drawn:
    try:
        with opened(path) as file:  # raises for a pipe, which would be waited for
            if file.read(6) != b"\x93NUMPY":
                raise ValueError("it is no array")  # but perhaps an archive of some
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except _DAMAGED as error:
        reason = str(error)[:120] or type(error).__name__
        raise RespoError(f"cannot read real pictures from {path}: {reason}. Save them by numpy.save.") from error
    if found.ndim != 4 or found.dtype != np.uint8 or found.shape[3] != 3 or len(found) < 2 or not found.size:
        raise RespoError(
            f"expected bytes [N, height, width, 3] in {path.name}, found {found.dtype} {list(found.shape)}"
        )
    rows = np.linspace(0, len(found) - 1, min(len(found), MOST)).astype(int)
    return Drawn("real", path.name, found[rows], ("",) * len(rows))


def _picture(file: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        picture = Image.fromarray(read_picture(file))
    except RespoError as error:
        raise RespoError(f"cannot read the picture {file}: {error}. Take it out.") from error
    return np.asarray(ImageOps.fit(picture, (size[1], size[0])), dtype=np.uint8)
