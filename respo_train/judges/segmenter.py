"""The segmenter: finds the person in a picture of Emoji World. It is trained on composites, whose masks are known."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import RespoError
from ..core.files.header import header_of, opened

INPUT_SIDE = 64  # pixels
_MOST_BYTES = 2**27
WIDTHS = (16, 32, 64)


def _convolutions(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
        nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )


class Segmenter(nn.Module):
    """A three-level U-Net: images `[B, 3, H, W]` in 0 … 1 -> logits `[B, 1, H, W]`."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.fine, self.middle, self.coarse = (
            _convolutions(3, fine),
            _convolutions(fine, middle),
            _convolutions(middle, coarse),
        )
        self.up_middle, self.up_fine = _convolutions(coarse + middle, middle), _convolutions(middle + fine, fine)
        self.out = nn.Conv2d(fine, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Compute at INPUT_SIDE, and resize to the picture's size."""
        small = functional.interpolate(images, size=(INPUT_SIDE, INPUT_SIDE), mode="area") * 2 - 1
        fine = self.fine(small)
        middle = self.middle(functional.max_pool2d(fine, 2))
        coarse = self.coarse(functional.max_pool2d(middle, 2))
        middle = self.up_middle(torch.cat([functional.interpolate(coarse, scale_factor=2), middle], dim=1))
        fine = self.up_fine(torch.cat([functional.interpolate(middle, scale_factor=2), fine], dim=1))
        return functional.interpolate(self.out(fine), size=images.shape[-2:], mode="bilinear", align_corners=False)

    @torch.inference_mode()
    def masks(self, images: Tensor, batch: int = 64) -> Tensor:
        """Return a bool mask of the person, `[B, H, W]`, for images `[B, 3, H, W]` in 0 … 1."""
        return torch.cat([self(part)[:, 0] > 0 for part in images.float().split(batch)])


def load_segmenter(path: Path) -> Segmenter:
    """Read a segmenter's safetensors file. Raises RespoError when it is not one."""
    segmenter = Segmenter()
    try:
        with opened(path) as file:
            header_of(file, path.name, _MOST_BYTES)
            file.seek(0)
            segmenter.load_state_dict({name: weight.float() for name, weight in load(file.read()).items()})
    except (OSError, ValueError, SafetensorError, RuntimeError, MemoryError) as error:
        raise RespoError(f"expected a segmenter's .safetensors file at {path}, could not read one: {error}") from error
    return segmenter.eval()
