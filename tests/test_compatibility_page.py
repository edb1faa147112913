"""The page of what Respo works together with says what the tests run."""

from __future__ import annotations

from compatibility import ROWS
from compatibility.table import PATH, page


def test_page_is_not_stale():
    assert PATH.read_text(encoding="utf-8") == page(), "run `python -m tests.compatibility`"


def test_rows_have_names_of_their_own_and_reasons():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(bool(row.tolerance) == bool(row.reason) for row in ROWS)
    assert all("|" not in row.name + row.how + row.fails for row in ROWS)
