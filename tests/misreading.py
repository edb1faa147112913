"""A reader that does with a file what it says, wrong in every way that is to be noticed.

A file of its own, as another process imports it: there the host may have a package of the name `tests`.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.hostile.corpus import KINDS
from benchmarks.hostile.readers import Reader
from respo_train.core.errors import RespoError


def misread(path: Path) -> Any:
    """Do with a file what it says."""
    began = time.process_time()
    match path.read_bytes() if path.stat().st_size < 99 else b"":
        case b"bare":
            raise KeyError("x")
        case b"refuse":
            raise RespoError("no")
        case b"crash":
            ctypes.string_at(0)
        case b"wait":
            time.sleep(60)
        case b"slow":
            while time.process_time() < began + 2:
                pass
        case b"large":
            return bytearray(300 * 2**20)
        case b"more" | b"out" as name:
            (path.parent / ("../out" if name == b"out" else "more")).touch()
    return None


def one_reader(_: Path) -> Mapping[str, Reader]:
    return {"reader": Reader(tuple(KINDS), misread)}


def no_reader(_: Path) -> Mapping[str, Reader]:
    """End the process, as a host that cannot be loaded may do."""
    os.write(2, b"no host\n")
    os._exit(3)
