"""docs/compatibility.md, written from the rows that the tests run."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from . import ROWS
from .refused import REFUSED
from .row import Row

PATH = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
INTRODUCTION = """# What Respo works together with

Written by `python -m tests.compatibility` from the rows that `tests/host/test_compatibility.py` runs; a test fails when
this page is not what the rows say.

Each row runs Apply Module and Balance through the real ComfyUI on a small U-Net of random weights, and holds the
latents against an oracle that adds the module to h by hand, at the places where the text is a prompt and not a negative
one. For each row also: queued again, the same bytes; strength 0, afterwards, the same bytes as without the node; and
with the node other bytes than without it. "The same bits" means that no bit differs from the oracle.
"""
ELSEWHERE = """
## Elsewhere

- `torch.compile`, as TorchCompileModel sets it (`tests/host/test_compiled.py`): traced by PyTorch's compiler and run
  with its own kernels (backend "eager"), Apply Module at once and Balance from 40 % of the run on give the same bits as
  uncompiled. The default backend, which writes C++, is not held by a test.
- A newer host (`tests/host/test_newer_host.py`): `hsp=None`, a middle-block hook that must not be needed, and calls
  that name their chunks by number alone give the same bits.
- Nothing here ran on a GPU; float16 and bfloat16 ran on the CPU.
"""
REFUSALS = """
## What cannot work

A node refuses these models when it runs, with a line that names what was found and which model would do.

| model | the line names |
|---|---|
"""


def page() -> str:
    """Return the whole page."""
    sections = [section(name, list(rows)) for name, rows in groupby(ROWS, key=lambda row: row.section)]
    refusals = [f"| {refused.name} | {', '.join(refused.says)} |\n" for refused in REFUSED]
    return INTRODUCTION + "".join(sections) + ELSEWHERE + REFUSALS + "".join(refusals)


def section(name: str, rows: list[Row]) -> str:
    """Return one table; neighbours that say the same share a line."""
    head = f"\n## {name}\n\n| with | how | against the oracle |\n|---|---|---|\n"
    groups = groupby(rows, key=lambda row: (row.how, verdict(row)))
    return head + "".join(
        f"| {'; '.join(row.name for row in same)} | {how} | {found} |\n" for (how, found), same in groups
    )


def verdict(row: Row) -> str:
    """Return what the last column says."""
    if row.fails:
        return f"**differs**: {row.fails}"
    return f"within {row.tolerance:g}: {row.reason}" if row.tolerance else "the same bits"
