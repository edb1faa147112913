"""The benchmark of many things runs; what it measures is only worth something at its full size."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import many


def test_every_case_runs() -> None:
    figures = dict(many.rows(Namespace(part=500)))
    assert list(figures) == list(many.CASES)
    assert [own["n"] for own in figures.values()][:2] == [many.FILES // 500, many.CLASSES // 500]
