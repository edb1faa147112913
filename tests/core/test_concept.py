from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from respo_train.core.errors import RespoError
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.grid import Grid, area_by_products, resize

KINDS = [("grid", None), ("low_rank", 2), ("channel", None)]
sizes = st.integers(1, 9)


def filled(kind: str, rank: int | None) -> ConceptModule:
    module = ConceptModule(6, 4, 5, kind, rank)
    for parameter in module.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(3))
    return module


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_starts_without_effect(kind: str, rank: int | None) -> None:
    module = ConceptModule(6, 4, 5, kind, rank)
    h = torch.randn(2, 6, 4, 5)
    assert torch.equal(module(h), h)


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_learns_from_the_start(kind: str, rank: int | None) -> None:
    module = ConceptModule(6, 4, 5, kind, rank)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    wanted = torch.ones(6, 4, 5)
    first = last = (module.delta(4, 5) - wanted).square().mean()
    for _ in range(200):
        last = (module.delta(4, 5) - wanted).square().mean()
        optimizer.zero_grad()
        last.backward()
        optimizer.step()
    assert last < 0.05 * first


@pytest.mark.parametrize(("kind", "rank"), KINDS)
def test_adds_both_parts_by_strength_and_fidelity(kind: str, rank: int | None) -> None:
    module = filled(kind, rank)
    h = torch.randn(2, 6, 4, 5)
    expected = h + 2 * (module.responsible.value() + 0.5 * module.semantic.value())
    torch.testing.assert_close(module(h, strength=2, fidelity=0.5), expected)
    assert torch.equal(module(h, strength=0), h)


def test_is_out_of_place_and_keeps_the_dtype() -> None:
    module = filled("grid", None)
    h = torch.randn(1, 6, 4, 5)
    before = h.clone()
    module(h)
    assert torch.equal(h, before)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert module(h.to(dtype)).dtype == dtype
    assert module.delta(4, 5).dtype == torch.float32


@given(sizes, sizes, sizes, sizes)
def test_resizing_keeps_constants_and_range(height: int, width: int, new_height: int, new_width: int) -> None:
    value = torch.randn(3, height, width, generator=torch.Generator().manual_seed(height * 10 + width))
    resized = resize(value, new_height, new_width)
    assert resized.shape == (3, new_height, new_width)
    assert resized.max() <= value.max() + 1e-5
    assert resized.min() >= value.min() - 1e-5
    torch.testing.assert_close(resize(torch.ones(3, height, width), new_height, new_width), torch.ones_like(resized))


def test_resizing_is_exact_where_it_can_be() -> None:
    value = torch.randn(3, 4, 6)
    assert torch.equal(resize(value, 4, 6), value)
    torch.testing.assert_close(resize(value, 2, 3), value.unfold(1, 2, 2).unfold(2, 2, 2).mean((-1, -2)))
    # One axis shrinks by area while the other grows.
    torch.testing.assert_close(resize(value, 2, 12).mean((1, 2)), value.mean((1, 2)))
    # A grown gradient stays a gradient: bilinear, not steps.
    ramp = resize(torch.arange(4.0).view(1, 1, 4), 1, 8)[0, 0]
    assert (ramp[1:-1].diff() > 0.4).all()


def test_stored_parts_come_back() -> None:
    for kind, rank in KINDS:
        grid = filled(kind, rank).responsible
        again = Grid.from_tensors(*(p.detach() for p in grid.parameters()))
        assert again.kind == kind
        assert torch.equal(again.value(), grid.value())
    alone = ConceptModule.from_parts(Grid(6, 4, 5))
    assert alone.semantic.value().abs().max() == 0


@pytest.mark.parametrize(
    "arguments",
    [(0, 1, 1), (1, 0, 1), (1, 1, 1, "cube"), (1, 1, 1, "low_rank"), (1, 1, 1, "grid", 2), (1, 1, 1, "low_rank", 0)],
)
def test_refuses_nonsense(arguments: tuple) -> None:
    with pytest.raises(RespoError, match="expected"):
        Grid(*arguments)


def test_refuses_other_channels() -> None:
    with pytest.raises(RespoError, match="6 channels, found 5"):
        ConceptModule(6, 4, 5)(torch.zeros(1, 5, 4, 5))
    with pytest.raises(RespoError, match="6 channels"):
        ConceptModule.from_parts(Grid(6, 1, 1), Grid(5, 1, 1))
    with pytest.raises(RespoError, match="factors"):
        Grid.from_tensors(torch.zeros(6, 2), torch.zeros(3, 4, 4))


@pytest.mark.parametrize(("old", "new"), [((6, 6), (4, 4)), ((9, 12), (9, 5)), ((7, 5), (3, 5)), ((8, 8), (4, 1))])
def test_areas_as_products_for_mps(old: tuple[int, int], new: tuple[int, int]) -> None:
    """PyTorch lacks the kernel there."""
    value = torch.randn(3, *old, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(area_by_products(value, new), F.interpolate(value[None], size=new, mode="area")[0])
