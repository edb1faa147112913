"""All that the trainer knows of a model: a U-Net that can be run in two halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .core.module.architecture import Architecture


@dataclass(frozen=True)
class Conditioning:
    """One encoded prompt: `context` `[1, places, D]` and, for SDXL, the added embedding `[1, A]`.

    Several prompts in one pass: `[B, places, D]` and `[B, A]`, a row for each latent, all of one length.

    `tokens`: the word token at each place of `context`; None where there is none (begin, end, padding).
    """

    context: Tensor
    added: Tensor | None = None
    tokens: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Encoded:
    """What the first half hands to the second: `h` `[B, C, H, W]` and all that the decoder needs beside it."""

    h: Tensor
    skips: tuple[Tensor, ...]
    embedding: Tensor
    context: Tensor
    latents: Tensor
    timesteps: Tensor


class AttentionHook(Protocol):
    """Takes the place of the attention in every cross-attention layer of one pass."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: int, size: tuple[int, int]) -> Tensor:
        """Return what the layer's output projection shall get, `[B, H W, D]`.

        `layer` counts from 0 through the whole network. `q` `[B, H W, D]` are the pixels' queries, `size` their
        `(H, W)`; `k` and `v` `[B, places, D]` are made from the prompt. `D` is `heads` times a head's width.
        """


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

    @property
    def attention_layers(self) -> int:
        """How many cross-attention layers there are; hooks see their numbers."""

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        """Encode each prompt once, "" included."""

    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        """Run input blocks and middle block without gradient. `latents` `[B, C, H, W]`, `timesteps` `[B]` (int64)."""

    def decoder(self, encoded: Encoded, h: Tensor, hook: AttentionHook | None = None) -> Tensor:
        """Run the output blocks from `h`, gradients flowing into it; return the predicted noise, float32."""

    def decode(self, latents: Tensor) -> Tensor | None:
        """Return pictures `[B, 3, 8 H, 8 W]` in 0 … 1, float32 on the CPU; None without an autoencoder."""
