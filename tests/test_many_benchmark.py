"""The benchmark of many things runs; what it measures is only worth something at its full size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import many


def test_every_case_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["many", "--part", "500", "--json", str(tmp_path / "many.json")])
    assert many.main() == 0
    figures = json.loads((tmp_path / "many.json").read_text())
    assert list(figures) == [name for name, _, _ in many.CASES]
    assert all(name in capsys.readouterr().out for name in list(figures)[:1])
    assert [figures[name]["n"] for name in figures][:2] == [many.FILES // 500, many.CLASSES // 500]
