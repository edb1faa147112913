"""A tiny SplitNetwork without any host, whose bottleneck is known to carry the prompt.

h = f(latents) + prompt vector, constant over the grid: so the perfect responsible part is target minus neutral.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from respo_train.core.module.architecture import Architecture
from respo_train.core.pictures.attention import attend
from respo_train.network import AttentionHook, Conditioning, Encoded

CHANNELS, SIZE = 8, 4
PLACES = 16  # of an encoded prompt


class ToyUNet(nn.Module):
    """Latents [4, 8, 8], h [8, 4, 4]; random frozen weights. Of a prompt it sees the first place: all of it at once."""

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

    attention_layers = 0

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        return [_encoded(prompt, prompt.split()) for prompt in prompts]

    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        self.seen.append((latents.clone(), timesteps.clone()))
        with torch.no_grad():
            h = self.down(latents).tanh() + conditioning.context[:, 0].view(-1, CHANNELS, 1, 1)
        return Encoded(h, (latents,), timesteps, conditioning.context, latents, timesteps)

    def decoder(self, encoded: Encoded, h: Tensor, hook: AttentionHook | None = None) -> Tensor:
        return self.up(F.interpolate(h, scale_factor=2.0)) + self.skip(encoded.skips[-1])

    def decode(self, latents: Tensor) -> Tensor | None:
        return F.interpolate(latents[:, :3], scale_factor=8.0).sigmoid()


class AttentiveUNet(ToyUNet):
    """A ToyUNet whose prompts are sequences of words, seen through cross-attention: one layer in each half.

    Both layers have 2 heads; the encoder's is over h, the decoder's over twice its height and width.
    """

    attention_layers = 2
    heads = 2

    def __init__(self, seed: int = 0, size: tuple[int, int] = (2 * SIZE, 2 * SIZE)):
        super().__init__(seed)
        self.latent_shape = (4, *size)
        # Never all noise: what random weights draw from that grows without bounds.
        self.alphas_cumprod = torch.linspace(0.999, 0.2, 1000)
        self.projections = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(CHANNELS, CHANNELS) for name in ("q", "k", "v", "out")})
            for _ in range(self.attention_layers)
        )
        generator = torch.Generator().manual_seed(seed + 1)
        for name, parameter in self.projections.named_parameters():
            # Queries and keys that differ much, so that pixels look at different words; small changes to h.
            parameter.data.normal_(0, 0.8 if name[2] in "qk" else 0.2, generator=generator)
        self.requires_grad_(False)

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        return [_encoded("<begin>", prompt.split(), 3.0) for prompt in prompts]

    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        self.seen.append((latents.clone(), timesteps.clone()))
        context = conditioning.context.expand(len(latents), -1, -1)
        with torch.no_grad():
            h = self.attention(0, self.down(latents).tanh(), context, hook)
        return Encoded(h, (latents,), timesteps, context, latents, timesteps)

    def decoder(self, encoded: Encoded, h: Tensor, hook: AttentionHook | None = None) -> Tensor:
        h = F.interpolate(h, size=encoded.latents.shape[2:])
        return self.up(self.attention(1, h, encoded.context, hook)) + self.skip(encoded.skips[-1])

    def attention(self, layer: int, h: Tensor, context: Tensor, hook: AttentionHook | None) -> Tensor:
        project = self.projections[layer]
        q, k, v = project["q"](h.flatten(2).transpose(1, 2)), project["k"](context), project["v"](context)
        size = (h.shape[2], h.shape[3])
        out = attend(q, k, v, self.heads) if hook is None else hook(layer, q, k, v, self.heads, size)
        return h + project["out"](out).transpose(1, 2).unflatten(2, size)


def _encoded(first: str, words: list[str], scale: float = 1.0) -> Conditioning:
    # As CLIP has it: a begin, the words, then nothing but ends.
    ends = PLACES - 1 - len(words)
    texts = [first, *words, *["<end>"] * ends]
    tokens = (None, *map(word_token, words), *[None] * ends)
    return Conditioning(scale * torch.stack([prompt_vector(text) for text in texts])[None], None, tokens)


def word_token(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "little")


@lru_cache(maxsize=4096)
def prompt_vector(prompt: str) -> Tensor:
    """A fixed random vector [C] for each text."""
    seed = int.from_bytes(hashlib.blake2b(prompt.encode(), digest_size=4).digest(), "little")
    return 0.3 * torch.randn(CHANNELS, generator=torch.Generator().manual_seed(seed))
