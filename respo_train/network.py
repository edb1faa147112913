"""All that the trainer knows of a model: a U-Net that can be run in two halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .core.architecture import Architecture


@dataclass(frozen=True)
class Conditioning:
    """One encoded prompt: `context` `[1, tokens, D]` and, for SDXL, the added embedding `[1, A]`."""

    context: Tensor
    added: Tensor | None = None


@dataclass(frozen=True)
class Encoded:
    """What the first half hands to the second: `h` `[B, C, H, W]` and all that the decoder needs beside it."""

    h: Tensor
    skips: tuple[Tensor, ...]
    embedding: Tensor
    context: Tensor
    latents: Tensor
    timesteps: Tensor


class SplitUNet(Protocol):
    """A frozen noise predictor, cut behind its middle block. Latents are variance-preserving: z_T is standard noise."""

    @property
    def architecture(self) -> Architecture:
        """What a module trained here is made for."""

    @property
    def fingerprint(self) -> tuple[float, ...]:
        """See `core.fingerprint`."""

    @property
    def alphas_cumprod(self) -> Tensor:
        """`[T]`, float32: how much of the picture is left at each timestep (first close to 1, last close to 0)."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of a latent at the size that the model was made for."""

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        """Encode each prompt once, "" included."""

    def encoder(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Encoded:
        """Run input blocks and middle block without gradient. `latents` `[B, C, H, W]`, `timesteps` `[B]` (int64)."""

    def decoder(self, encoded: Encoded, h: Tensor) -> Tensor:
        """Run the output blocks from `h`, gradients flowing into it; return the predicted noise, float32."""

    def decode(self, latents: Tensor) -> Tensor | None:
        """Return pictures `[B, 3, 8 H, 8 W]` in 0 … 1, float32 on the CPU; None without an autoencoder."""
