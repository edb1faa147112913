"""Pictures that stay on disk until they are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RespoError
from ..core.files.header import opened


@dataclass(frozen=True)
class OnDisk:
    """Pictures `[N, H, W, 3]` in a file that is open only while some of them are read: any number of them may exist."""

    path: Path
    shape: tuple[int, ...]
    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)

    @classmethod
    def of(cls, path: Path) -> OnDisk:
        """Look at a file. Raises RespoError when it holds no pictures."""
        return cls(path, _open(path).shape)

    @property
    def ndim(self) -> int:
        """Return the number of dimensions, as an array does."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        return np.array(_open(self.path)[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)


def _open(path: Path) -> NDArray[np.uint8]:
    try:
        with opened(path):  # raises for a pipe, which would be waited for
            pass
        found: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RespoError(f"the pictures at {path} cannot be read ({error}). Run it again to draw them anew.") from error
    return found


Images = NDArray[np.uint8] | OnDisk
