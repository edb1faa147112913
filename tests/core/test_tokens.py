"""h of a transformer: the image tokens of a block's output as a grid, and back, for each way of laying them out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from respo_train.core.errors import RespoError
from respo_train.core.module.architecture import FAMILIES, Architecture, family_of_network
from respo_train.core.module.tokens import TokenGrid, default_block, grid_of

ROWS, COLUMNS, WIDTH, TEXT = 3, 5, 4, 7
COUNT = ROWS * COLUMNS


class NextDiT(nn.Module):
    """As much of the host's class as is looked at."""

    def __init__(self, blocks: int = 6) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Identity() for _ in range(blocks))
        self.cap_embedder = nn.Sequential(nn.Identity(), nn.Linear(16, WIDTH))
        self.dim, self.patch_size, self.pad_tokens_multiple = WIDTH, 2, 32


class RadiantNextDiT(NextDiT):
    """A class that is derived from it."""


def tokens(count: int) -> Tensor:
    return torch.arange(2.0 * count * WIDTH).reshape(2, count, WIDTH)


def plus(h: Tensor) -> Tensor:
    """Add a number that tells channel, row and column."""
    assert h.shape == (2, WIDTH, ROWS, COLUMNS)
    return h + added()


def added() -> Tensor:
    return torch.arange(float(WIDTH * COUNT)).reshape(WIDTH, ROWS, COLUMNS)


@pytest.mark.parametrize(
    ("stream", "before", "behind"),
    [("first", 0, 0), ("first", 0, 9), ("second", 0, 4), ("behind the text", TEXT, 6), ("at the end", 11, 17)],
)
def test_only_the_image_tokens_change(stream: Any, before: int, behind: int) -> None:
    row, text = tokens(before + COUNT + behind), torch.ones(2, TEXT, WIDTH)
    output: Any = {"first": (row, text), "second": (text, row)}.get(stream, row)
    wanted = row.clone()
    wanted[:, before : before + COUNT] += added().flatten(1).T
    found = TokenGrid(ROWS, COLUMNS, TEXT, 32).change(output, stream, plus)
    if stream in ("first", "second"):
        assert isinstance(found, tuple)
        assert found[stream == "first"] is text
        found = found[stream == "second"]
    assert torch.equal(found, wanted)
    assert torch.equal(row, tokens(before + COUNT + behind))  # never in place


@pytest.mark.parametrize("stream", ["first", "behind the text", "at the end"])
def test_too_few_tokens_are_refused(stream: Any) -> None:
    row = tokens(COUNT - 1)
    with pytest.raises(RespoError, match=r"expected 15 image tokens \(3 x 5\)"):
        TokenGrid(ROWS, COLUMNS, 0).change((row, row) if stream == "first" else row, stream, plus)


def test_keeps_the_outputs_precision() -> None:
    row = tokens(COUNT).bfloat16()
    assert TokenGrid(ROWS, COLUMNS).change(row, "at the end", lambda h: h.float()).dtype == torch.bfloat16


def test_the_grid_of_a_latent() -> None:
    assert grid_of(NextDiT(), 15, 10, 7) == TokenGrid(8, 5, 7, 32)
    assert grid_of(SimpleNamespace(patch_size=(1, 2, 2)), 16, 10) == TokenGrid(8, 5, None, 1)


def test_architecture_of_a_transformer() -> None:
    found = Architecture.from_network(NextDiT())
    assert found == Architecture("lumina2", WIDTH, 16, 0, WIDTH, 3)
    assert found.describe() == "Lumina 2 / Z-Image (h: 4 channels behind block 3)"
    assert Architecture.from_dict(found.to_dict()) == found
    assert Architecture.from_network(NextDiT(), 6).block == 6
    with pytest.raises(RespoError, match=r"at least 7 blocks, found 6 in NextDiT"):
        Architecture.from_network(NextDiT(), 7)
    with pytest.raises(RespoError, match=r"these transformers: Lumina 2 / Z-Image, Flux.*This model is a Radiant"):
        Architecture.from_network(RadiantNextDiT())
    for wrong in (0, -1, True, 2.0, "4"):
        with pytest.raises(RespoError, match="block as a whole number"):
            Architecture.from_dict({**found.to_dict(), "block": wrong})


def test_blocks_of_several_lists_are_counted_through() -> None:
    flux = next(f.tokens for f in FAMILIES if f.key == "flux")
    assert flux is not None
    network = SimpleNamespace(double_blocks=[0] * 19, single_blocks=[0] * 38)
    places = [flux.place(network, block) for block in (1, 19, 20, 57)]
    assert [(own.name, index) for own, index in places] == [
        ("double_blocks", 0),
        ("double_blocks", 18),
        ("single_blocks", 0),
        ("single_blocks", 37),
    ]
    assert [default_block(depth) for depth in (1, 6, 30, 57)] == [1, 3, 15, 28]


def test_u_nets_are_no_transformers() -> None:
    assert family_of_network(nn.Conv2d(1, 1, 1)) is None
    plain = Architecture("sd1", 320, 768, 0, 1280)
    assert "block" not in plain.to_dict()
