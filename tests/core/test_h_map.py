from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from respo_train.cli.info import concept_rows
from respo_train.core.errors import RespoError
from respo_train.core.files.shrink import Form, shrunk
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.core.module.grid import Grid
from respo_train.core.module.h_map import HMap, weighted


def filled(channels: int = 6, width: int = 3, seed: int = 0) -> HMap:
    made = HMap(channels, width)
    for parameter in made.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(seed))
    return made


def test_starts_without_effect_and_with_a_gradient() -> None:
    made, h = HMap(6, 3), torch.randn(2, 6, 4, 5)
    assert not made(h).any()
    (made(h) - 1).square().mean().backward()
    assert made.outward.grad is not None
    assert made.outward.grad.any()


def test_written_down_plainly() -> None:
    made, h = filled(), torch.randn(2, 6, 4, 5)
    for picture, own in enumerate(made(h)):
        size = (h[picture] ** 2).mean() ** 0.5
        for y in range(4):
            for x in range(5):
                heard = F.gelu(made.inward @ (h[picture, :, y, x] / size) + made.bias)
                torch.testing.assert_close(own[:, y, x], made.outward @ heard)


def test_a_picture_is_read_by_itself_whatever_the_size_of_h() -> None:
    made, h = filled(), torch.randn(3, 6, 4, 5)
    torch.testing.assert_close(made(h)[1:2], made(h[1:2]))
    torch.testing.assert_close(made(1000 * h), made(h))
    assert made(torch.zeros(1, 6, 2, 2)).isfinite().all()
    assert made((1000 * h).half()).dtype == torch.float32  # whose squares half precision does not hold
    assert made((1000 * h).half()).isfinite().all()


def test_it_stops_where_a_constant_runs_on() -> None:
    """Two kinds of picture, to be led to the middle between them: what no constant can do."""
    torch.manual_seed(0)
    middle, side = torch.randn(6), torch.randn(6)
    h = torch.stack([middle + side * where for where in (-1.0, 1.0, -0.5, 0.5, 0.0)])[:, :, None, None]
    module = ConceptModule(6, 1, 1, map_width=8)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(400):
        loss = (h + module.towards(h) - middle[:, None, None]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.01 * (h - middle[:, None, None]).square().mean()


def test_weighted_maps_add_up() -> None:
    a, b, h = filled(seed=1), filled(width=2, seed=2), torch.randn(2, 6, 4, 5)
    both = weighted([(0.5, a), (-2.0, b)])
    assert both is not None
    assert both.width == 5
    torch.testing.assert_close(both(h), 0.5 * a(h) - 2 * b(h))
    assert weighted([]) is None


@pytest.mark.parametrize(
    "shapes", [((3, 6), (3,), (3, 6)), ((3, 6), (2,), (6, 3)), ((6,), (3,), (6, 3)), ((3, 6), (3,), (5, 3))]
)
def test_shapes_that_do_not_fit(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(RespoError, match=r"\[K, C\], \[K\] and \[C, K\]"):
        HMap.from_tensors(*(torch.zeros(shape) for shape in shapes))


def test_sizes_below_one_and_other_channels() -> None:
    with pytest.raises(RespoError, match="at least 1 channel"):
        HMap(6, 0)
    with pytest.raises(RespoError, match="6 channels like the responsible part, found 5"):
        ConceptModule.from_parts(Grid(6, 4, 5), None, filled(5))


def test_a_module_with_a_map() -> None:
    module = ConceptModule(6, 4, 5, map_width=3)
    h = torch.randn(2, 6, 4, 5)
    assert torch.equal(module(h), h)
    for parameter in module.parameters():
        parameter.data.normal_()
    assert module.map is not None
    constants = module.responsible.value() + 0.5 * module.semantic.value()
    torch.testing.assert_close(module(h, strength=2, fidelity=0.5), h + 2 * (constants + module.map(h)))
    torch.testing.assert_close(module.towards(h), module.responsible.value() + module.map(h))
    assert torch.equal(module(h, strength=0), h)
    assert module(h.half()).dtype == torch.float16
    assert module(torch.randn(1, 6, 7, 3)).shape == (1, 6, 7, 3)


@pytest.mark.parametrize("form", ["low rank", "channel", "as it is"])
def test_a_smaller_form_keeps_the_map(form: Form) -> None:
    module = ConceptModule(6, 4, 5, map_width=3)
    for parameter in module.parameters():
        parameter.data.normal_()
    architecture = Architecture("unet-2-8", 2, 8, 0, 6)
    small = shrunk(Attribute("gender", "fairness", {"woman": module}, architecture, {}, {}), form).concept("woman")
    h = torch.randn(2, 6, 4, 5)
    assert small.map is not None
    assert module.map is not None
    assert torch.equal(small.map(h), module.map(h))


def test_info_tells_of_the_map() -> None:
    concepts = {"woman": ConceptModule(6, 4, 5, map_width=3), "man": ConceptModule(6, 4, 5)}
    made = Attribute("gender", "fairness", concepts, Architecture("unet-2-8", 2, 8, 0, 6), {}, {})
    assert [row[1] for row in concept_rows(made)] == ["kind", "grid, map of h by 3", "grid"]
