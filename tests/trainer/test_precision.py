"""Every computation asks one place which precision this machine is fast at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from respo_train import precision

ROOT = Path(__file__).resolve().parents[2]
# These compute in bfloat16 because they are asked to, or compare the two.
BY_NAME = {
    "benchmarks/train_on_geometry.py",
    "benchmarks/train_speed.py",
    "respo_train/precision.py",
}


@pytest.mark.parametrize("fast", [False, True])
def test_auto_is_what_the_processor_is_fast_at(monkeypatch, fast):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    assert precision.choose_dtype() == (torch.bfloat16 if fast else torch.float32)
    with precision.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == precision.choose_dtype()
    assert precision.choose_dtype("float32") == torch.float32
    assert precision.choose_dtype("bfloat16") == torch.bfloat16


def test_nothing_writes_bfloat16_down():
    """A product in bfloat16 is 50 to 100 times as slow as in float32 on a processor without arithmetic for it."""
    writes = re.compile(r"autocast\([^)]*bfloat16|device: torch.dtype = torch.bfloat16")
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ("emoji_world", "respo_train", "benchmarks", "nodes")
        for path in (ROOT / folder).rglob("*.py")
        if writes.search(path.read_text(encoding="utf-8"))
    }
    assert found <= BY_NAME
