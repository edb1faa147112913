"""A tiny SplitUNet without any host, whose bottleneck is known to carry the prompt.

h = f(latents) + prompt vector, constant over the grid: so the perfect responsible part is target minus neutral.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from respo_train.core.architecture import Architecture
from respo_train.network import Conditioning, Encoded

CHANNELS, SIZE = 8, 4


class ToyUNet(nn.Module):
    """Latents [4, 8, 8], h [8, 4, 4]; random frozen weights."""

    architecture = Architecture("unet-8-8", 8, 8, 0, CHANNELS)
    fingerprint = (1.0, 2.0, 3.0)
    latent_shape = (4, 2 * SIZE, 2 * SIZE)

    def __init__(self, seed: int = 0):
        super().__init__()
        self.down = nn.Conv2d(4, CHANNELS, 3, stride=2, padding=1)
        self.up = nn.Conv2d(CHANNELS, 4, 3, padding=1)
        self.skip = nn.Conv2d(4, 4, 3, padding=1)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data.normal_(0, 0.2, generator=generator)
        self.requires_grad_(False)
        self.alphas_cumprod = torch.linspace(0.999, 0.005, 1000)
        self.seen: list[tuple[Tensor, Tensor]] = []  # every (latents, timesteps) that it was given

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        return [Conditioning(prompt_vector(prompt).view(1, 1, CHANNELS)) for prompt in prompts]

    def encoder(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Encoded:
        self.seen.append((latents.clone(), timesteps.clone()))
        with torch.no_grad():
            h = self.down(latents).tanh() + conditioning.context.view(1, CHANNELS, 1, 1)
        return Encoded(h, (latents,), timesteps, conditioning.context, latents, timesteps)

    def decoder(self, encoded: Encoded, h: Tensor) -> Tensor:
        return self.up(F.interpolate(h, scale_factor=2.0)) + self.skip(encoded.skips[-1])

    def decode(self, latents: Tensor) -> Tensor | None:
        return F.interpolate(latents[:, :3], scale_factor=8.0).sigmoid()


def prompt_vector(prompt: str) -> Tensor:
    """A fixed random vector [C] for each text."""
    seed = int.from_bytes(hashlib.blake2b(prompt.encode(), digest_size=4).digest(), "little")
    return 0.3 * torch.randn(CHANNELS, generator=torch.Generator().manual_seed(seed))
