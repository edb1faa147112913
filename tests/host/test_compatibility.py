"""Every row of the compatibility table, through the real host, against the oracle that adds the module to h by hand.

For each row: Apply Module and Balance give what the oracle gives and not what the unpatched graph gives, the same bytes
when queued again, and with strength 0, afterwards, the unpatched graph's bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import pytest
import torch
from compatibility import ROWS
from compatibility.row import UNSTEERED, Row, prompt_of, unchanged

KNOBS = {"strength": 0.7, "fidelity": 0.8}
UNIFORM = {"woman": Fraction(1, 2), "man": Fraction(1, 2)}


@pytest.fixture(scope="module")
def base(make_model):
    """base(row) -> the row's MODEL, before any patch."""

    @lru_cache
    def made(weights: tuple) -> Any:
        return make_model(**{name: list(value) if isinstance(value, tuple) else value for name, value in weights})

    return lambda row: made(tuple(row.weights.items()))


@pytest.fixture(scope="module")
def nodes(run_node, module, attribute, pack) -> dict[str, tuple[Callable, Callable]]:
    """For each node: MODEL -> MODEL, and what has to be added at a place of a batch of n pictures."""

    def woman(place, count):
        return attribute.concept("woman").delta(*place.size, **KNOBS).detach()

    def of_its_own(place, count):
        label = pack.core.counting.balance.assign(0, count, UNIFORM)[place.image]
        return attribute.concept(label).delta(*place.size, **KNOBS).detach()

    def by_id(node_id):
        return lambda model, **given: run_node(node_id, model=model, module=module, **{**KNOBS, **given})[0]

    return {"Apply Module": (by_id("RespoApplyModule"), woman), "Balance": (by_id("RespoBalance"), of_its_own)}


def marked(row: Row) -> Any:
    """The row as a parameter, expected to fail where it says so."""
    marks = [pytest.mark.xfail(strict=True, reason=row.fails)] if row.fails else []
    marks += [pytest.mark.slow] if row.slow else []
    return pytest.param(row, id=row.name, marks=marks)


@pytest.mark.parametrize("row", [marked(row) for row in ROWS])
def test_row(row: Row, base: Callable, nodes: dict, by_hand: Callable) -> None:
    start = row.before(base(row))
    plain = row.run(row.after(start))
    assert plain.isfinite().all()
    if row.before is not unchanged or row.after is not unchanged:
        assert not torch.equal(plain, row.run(base(row))), "the other node does nothing here"
    for name, (patched, addition) in nodes.items():
        model = row.after(patched(start))
        found = row.run(model)
        wanted, places = oracle(row, row.after(start), by_hand, lambda place: addition(place, len(plain)))  # noqa: B023
        assert row.proof(places), f"not what the row says: {places}"
        assert (found - wanted).abs().max().item() <= row.tolerance, name
        assert not torch.equal(found, plain), name
        assert torch.equal(row.run(model), found), f"{name}: other bytes when queued again"
    off = start
    for patched, _ in nodes.values():
        off = patched(off, strength=0.0)
    assert torch.equal(row.run(row.after(off)), plain), "off is not off"


def oracle(row: Row, model: Any, by_hand: Callable, addition: Callable) -> tuple[torch.Tensor, list]:
    """What the row's run has to give, and where the oracle stood."""
    places = []

    def steer(place):
        places.append(place)
        return None if prompt_of(place.text) in UNSTEERED else addition(place)

    with by_hand(model, steer, at=row.at) as expected:
        return row.run(expected), places
