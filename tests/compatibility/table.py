"""docs/compatibility.md, written from the rows that the tests run."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from . import ROWS
from .packs import PACKS
from .refused import REFUSED
from .row import Row

PATH = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
INTRODUCTION = """# What Respo works together with

`python -m tests.compatibility` writes this page from the rows that `tests/host/test_compatibility.py` runs. A test
fails when the two disagree.

Each row runs Apply Module and Balance in the real ComfyUI, on a small U-Net of random weights. It compares the latents
with those of an oracle: code that adds the module to h by hand, in the rows of the positive prompts only. "The same
bits" means that no bit differs from the oracle. Each row also checks that

- the same graph, queued again, gives the same bytes;
- strength 0, tried last, gives the same bytes as a graph without the node;
- the node at full strength does change the bytes.
"""
ELSEWHERE = """
## Elsewhere

- `torch.compile`, as TorchCompileModel sets it (`tests/host/test_compiled.py`): traced by PyTorch's compiler and run
  with PyTorch's own kernels (backend "eager"), Apply Module and a Balance that starts at 40 % of the run give the same
  bits as uncompiled. With PyTorch's attention, Balance, Apply Module, Where by mask and words and Background are traced
  as one graph, as the model is without them. No test covers the default backend, which writes C++.
- A newer host (`tests/host/test_newer_host.py`): the same bits with `hsp=None`, without the hook on the middle
  block that such hosts have, and in calls that tell their chunks by number alone.
- Nothing here ran on a GPU; float16 and bfloat16 ran on the CPU. In `tests/host/test_hot_path.py` PyTorch's device
  "meta", which has no numbers, stands for the card: after its first call a run copies nothing between devices and waits
  for nothing that it would not without Respo, U-Nets and transformers alike. A run that follows a record with another
  sampler, or over a part of the steps, reads its sigma, which is one wait a step. With the same sampler and steps it
  goes by the order of the calls, and they are compared when the run is over: a sampler that chooses its own steps
  (dpm_adaptive) is refused only then. The record goes to the card when the run begins. Record Run keeps what it records
  on the card until its run is over: for 20 steps, one picture and guidance 3 MB with SD 1.5, 31 MB with SDXL.
- A compiled model and Deep Shrink together: h has another size than the latent says, so what is added is prepared
  inside of the network, which then is several graphs.
- *start percent* and *end percent* become noise levels when a Respo node runs, as they do in the host's own nodes that
  patch a model. Where a module acts in a part of the run, put *ModelSampling* nodes in front of Respo's: behind them
  they move these levels to other steps.
- `Where` by words reads the attention with the fused kernel of a card. A processor's own is less exact, so there it is
  computed step by step.
"""
REFUSALS = """
## What cannot work

A node refuses these models when it runs. Its message says what was found and which model to use instead; the table
lists words of that message.

| model | words of the message |
|---|---|
"""


def page() -> str:
    """Return the whole page."""
    sections = [section(name, list(rows)) for name, rows in groupby(ROWS, key=lambda row: row.section)]
    refusals = [f"| {refused.name} | {', '.join(refused.says)} |\n" for refused in REFUSED]
    return INTRODUCTION + "".join(sections) + PACKS + ELSEWHERE + REFUSALS + "".join(refusals)


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
