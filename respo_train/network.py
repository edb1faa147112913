"""The trainer's view of a model: a network that can be run in two halves, a U-Net or a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .core.module.architecture import Architecture


@dataclass(frozen=True)
class Conditioning:
    """One encoded prompt: `context` `[1, places, D]` and, for SDXL, the added embedding `[1, A]`.

    For several prompts in one pass: `[B, places, D]` and `[B, A]`, one row per latent, all of equal length. `tokens`:
    the token id at each place of `context`; None for begin, end and padding.
    """

    context: Tensor
    added: Tensor | None = None
    tokens: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Encoded:
    """What the first half passes to the second: `h` `[B, C, H, W]` and whatever else the decoder needs."""

    h: Tensor
    skips: tuple[Tensor, ...]
    embedding: Tensor
    context: Tensor
    latents: Tensor
    timesteps: Tensor


class AttentionHook(Protocol):
    """Replaces the attention in every cross-attention layer of one pass."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, size: tuple[int, int]) -> Tensor:
        """Return the input of the layer's output projection, `[B, H W, D]`.

        `layer`: counts from 0 through the whole network. `q`: the pixels' queries `[B, H W, D]`, with `size` = (H, W).
        `k`, `v`: `[B, places, D]`, from the prompt. D is `heads` times the width of a head.
        """


class SplitNetwork(Protocol):
    """A frozen noise predictor, split after a U-Net's middle block or behind one of a transformer's blocks.

    Latents are variance-preserving: z_T is standard noise.
    """

    @property
    def architecture(self) -> Architecture:
        """The architecture that modules trained here are for."""

    @property
    def fingerprint(self) -> tuple[float, ...]:
        """The checkpoint's fingerprint, see `core.module.fingerprint`."""

    @property
    def alphas_cumprod(self) -> Tensor:
        """Cumulative alphas, float32 `[T]`: the first close to 1, the last close to 0."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of a latent at the training size."""

    @property
    def attention_layers(self) -> int:
        """Number of cross-attention layers, which hooks see by index; 0 where there is joint attention only."""

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        """Encode each prompt once, "" included."""

    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        """Run the first half without gradients. `latents`: `[B, C, H, W]`; `timesteps`: int64 `[B]`."""

    def decoder(self, encoded: Encoded, h: Tensor, hook: AttentionHook | None = None) -> Tensor:
        """Run the second half from `h`, with gradients with respect to it; return the predicted noise, float32."""

    def decode(self, latents: Tensor) -> Tensor | None:
        """Return pictures `[B, 3, 8 H, 8 W]` in 0 … 1, float32 on the CPU; None without an autoencoder."""
