"""The compatibility table: what Respo is used together with, row by row. tests/host/test_compatibility.py runs it.

`python -m tests.compatibility` writes docs/compatibility.md from the same rows.
"""

from __future__ import annotations

from . import conditioning, guiders, patches, sampling
from .row import Row

ROWS: tuple[Row, ...] = (*conditioning.ROWS, *guiders.ROWS, *patches.ROWS, *sampling.ROWS)
