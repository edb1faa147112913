"""What holds for all tests of the evidence."""

from __future__ import annotations

import pytest

from benchmarks.evidence.plan import SURROUNDINGS


@pytest.fixture(autouse=True)
def no_host(monkeypatch):
    """The versions are a machine's own."""
    monkeypatch.setattr("benchmarks.evidence.plan.surroundings", lambda _: dict.fromkeys(SURROUNDINGS, "1"))
