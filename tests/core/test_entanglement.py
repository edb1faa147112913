from __future__ import annotations

import math

import pytest
import torch

from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.entanglement import overlaps
from respo_train.core.module.grid import Grid


def module(responsible: list, semantic: list | None = None) -> ConceptModule:
    parts = [Grid.from_tensors(torch.tensor(part, dtype=torch.float32)) for part in (responsible, semantic) if part]
    return ConceptModule.from_parts(*parts)


def test_by_hand() -> None:
    a = module([[[1.0, 1.0]], [[0.0, 0.0]]])
    b = module([[[1.0, -1.0]], [[0.0, 0.0]]], [[[1.0, 1.0]], [[1.0, 1.0]]])  # adds [[2, 0]], [[1, 1]]
    c = module([[[0.0, 0.0]], [[-3.0, -3.0]]])
    found = {(pair.first, pair.second): pair for pair in overlaps({"a": a, "b": b, "c": c})}
    assert list(found) == [("a", "b"), ("b", "c"), ("a", "c")]
    assert found["a", "b"].grid == pytest.approx(2 / math.sqrt(2 * 6))
    assert found["a", "b"].channels == pytest.approx(1 / math.sqrt(2))
    assert found["b", "c"].grid == pytest.approx(-6 / math.sqrt(6 * 18))
    assert found["b", "c"].channels == pytest.approx(-1 / math.sqrt(2))
    assert (found["a", "c"].grid, found["a", "c"].channels) == (0, 0)


def test_other_sizes_and_nothing() -> None:
    small, large = module([[[2.0]]]), module([[[1.0, 1.0], [1.0, 1.0]]])
    (pair,) = overlaps({"small": small, "large": large})
    assert pair.grid == pytest.approx(1)
    (pair, *others) = overlaps({"small": small, "none": module([[[0.0]]]), "large": large})
    assert (pair.first, pair.second) == ("small", "large")
    assert all(math.isnan(other.grid) and math.isnan(other.channels) for other in others)
    assert overlaps({"small": small}) == []


def test_cosines_do_not_overflow() -> None:
    huge = module([[[1e38, 1e38]]])
    (pair,) = overlaps({"a": huge, "b": huge})
    assert pair.grid == pytest.approx(1)
