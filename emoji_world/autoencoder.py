"""The autoencoder: TAESD's layout with narrower widths, so that the host's own TAESD class can run it zero-padded.

Only convolutions, ReLU and nearest-neighbour upsampling, for which padding the channels with zeros is exact.
Factor 8, four latent channels; pictures are in [0, 1].
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

ENCODER_WIDTHS = (16, 32, 64, 64)  # at 128, 64, 32, 16 pixels
DECODER_WIDTHS = (64, 64, 48, 24)  # at 16, 32, 64, 128 pixels
LATENT_CHANNELS = 4
# Multiplies the latents before they reach the U-Net, as in Stable Diffusion 1.x's latent format of the host.
LATENT_FORMAT_SCALE = 0.18215


def _conv(n_in: int, n_out: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=bias)


class Block(nn.Module):
    """Three convolutions with a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers = (_conv(width, width), nn.ReLU(), _conv(width, width), nn.ReLU(), _conv(width, width))
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        return (self.conv(x) + x).relu()


class Clamp(nn.Module):
    """Keeps latents within ±3 softly."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return torch.tanh(x / 3) * 3


class Upsample(nn.Module):
    """Nearest-neighbour ×2, by expand and reshape: on a CPU torch.compile once dropped the gradient of interpolate."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2H, 2W]."""
        b, c, h, w = x.shape
        return x[:, :, :, None, :, None].expand(b, c, h, 2, w, 2).reshape(b, c, 2 * h, 2 * w)


def encoder(widths: tuple[int, ...] = ENCODER_WIDTHS) -> nn.Sequential:
    """Build the encoder; layer numbers are TAESD's."""
    layers: list[nn.Module] = [_conv(3, widths[0]), Block(widths[0])]
    for before, width in pairwise(widths):
        layers += [_conv(before, width, stride=2, bias=False), Block(width), Block(width), Block(width)]
    return nn.Sequential(*layers, _conv(widths[-1], LATENT_CHANNELS))


def decoder(widths: tuple[int, ...] = DECODER_WIDTHS) -> nn.Sequential:
    """Build the decoder; layer numbers are TAESD's."""
    layers: list[nn.Module] = [Clamp(), _conv(LATENT_CHANNELS, widths[0]), nn.ReLU()]
    for width, after in pairwise(widths):
        layers += [Block(width), Block(width), Block(width), Upsample(), _conv(width, after, bias=False)]
    return nn.Sequential(*layers, Block(widths[-1]), _conv(widths[-1], 3))


class Autoencoder(nn.Module):
    """Encoder and decoder under the names that the host's TAESD has."""

    def __init__(self) -> None:
        super().__init__()
        self.taesd_encoder = encoder()
        self.taesd_decoder = decoder()

    def forward(self, images: Tensor, noise: float = 0.0) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] in [0, 1] -> (reconstruction, latents [B, 4, H/8, W/8]).

        `noise`: standard deviation of noise added to the latents, so that the decoder tolerates errors of the U-Net.
        """
        latents = self.taesd_encoder(images)
        noisy = latents + noise * torch.randn_like(latents) if noise else latents
        return self.taesd_decoder(noisy), latents
