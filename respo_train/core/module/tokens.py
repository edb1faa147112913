"""h of a transformer: the image tokens behind one of its blocks, as a grid `[B, D, rows, columns]`.

A U-Net has one middle, a transformer has none. But behind each of its blocks every patch of the picture is still one
token, so the tokens are a grid of features as h is. Text tokens, and those of reference pictures, are left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import RespoError

# Where a block's output has the image tokens: the first or second of two streams; one row with the image behind the
# text; one row that ends with the image and what fills it up.
Stream = Literal["first", "second", "behind the text", "at the end"]


@dataclass(frozen=True)
class Blocks:
    """A list of blocks of a network.

    `name`: its attribute. `stream`: where its blocks' outputs have the image tokens. `weight`: a parameter of each of
    its blocks, to recognise a checkpoint by.
    """

    name: str
    stream: Stream
    weight: str


@dataclass(frozen=True)
class Tokens:
    """What is known of a family of transformers.

    `network`: the name of the host's class. `lists`: its blocks, in the order in which they run. `width`, `text`:
    attributes of the network with the tokens' width, and with the layer that takes the encoded prompt.
    """

    network: str
    lists: tuple[Blocks, ...]
    width: str
    text: str

    def depth(self, network: Any) -> int:
        """Return how many blocks the network has."""
        return sum(len(getattr(network, own.name)) for own in self.lists)

    def both_streams(self, network: Any) -> Any | None:
        """Return the last block that gives image and text apart, None for a family without such blocks.

        In the blocks behind it the image stands behind as many tokens as its text has.
        """
        lists = [getattr(network, own.name) for own in self.lists if own.stream == "first"]
        return lists[-1][-1] if lists and len(lists[-1]) else None

    def place(self, network: Any, block: int) -> tuple[Blocks, int]:
        """Return the list that holds block number `block`, counted from 1, and the block's index in it.

        Raises RespoError where there are fewer blocks.
        """
        left = block
        for own in self.lists:
            if 0 < left <= len(getattr(network, own.name)):
                return own, left - 1
            left -= len(getattr(network, own.name))
        raise RespoError(
            f"expected a network of at least {block} blocks, found {self.depth(network)} in {type(network).__name__}. "
            "Load the model that the module was made for."
        )


def attribute_at(network: Any, path: str) -> Any:
    """Return `network.a.b` for "a.b"; a number is an index, as in `nn.Sequential`."""
    return reduce(getattr, path.split("."), network)


def default_block(depth: int) -> int:
    """Return after how many of `depth` blocks a module acts unless a training says otherwise: half."""
    return max(1, depth // 2)


@dataclass(frozen=True)
class TokenGrid:
    """The image tokens of one call. `text`: tokens of the text that stand before them, None where it is not known.

    `rows`, `columns`: of patches. `multiple`: the image's tokens are filled up to a multiple of it.
    """

    rows: int
    columns: int
    text: int | None = None
    multiple: int = 1

    @property
    def count(self) -> int:
        """The number of image tokens."""
        return self.rows * self.columns

    def change(self, output: Any, stream: Stream, steer: Callable[[Tensor], Tensor]) -> Any:
        """Return a block's output with h replaced by `steer(h)`, h `[B, D, rows, columns]`.

        Raises RespoError where the output does not have the image tokens at that place.
        """
        part = {"first": 0, "second": 1}.get(stream)
        row = output if part is None else output[part]
        start = self._start(row, stream)
        own = row[:, start : start + self.count]
        if start < 0 or own.shape[1] != self.count:
            raise RespoError(
                f"expected {self.count} image tokens ({self.rows} x {self.columns}) behind the block, found "
                f"{row.shape[1]} tokens in all. Another node has changed the network's tokens: bypass it."
            )
        h = own.transpose(1, 2).unflatten(2, (self.rows, self.columns))
        new = steer(h).flatten(2).transpose(1, 2)
        row = torch.cat([row[:, :start], new.to(row.dtype), row[:, start + self.count :]], 1)
        if part is None:
            return row
        return type(output)(row if index == part else other for index, other in enumerate(output))

    def _start(self, row: Tensor, stream: Stream) -> int:
        if stream == "at the end":
            return row.shape[1] - self.count - -self.count % self.multiple
        if stream == "behind the text":
            return -1 if self.text is None else self.text
        return 0


def grid_of(network: Any, height: int, width: int, text: int | None = None) -> TokenGrid:
    """Return the grid of a latent of that size in a network, which pads it to whole patches."""
    patch = network.patch_size
    down, across = (patch[-2], patch[-1]) if isinstance(patch, (tuple, list)) else (patch, patch)
    multiple = getattr(network, "pad_tokens_multiple", None) or 1
    return TokenGrid(-(-height // down), -(-width // across), text, multiple)
