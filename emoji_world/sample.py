"""Draw pictures with the trained networks, without the host's sampler, to measure Emoji World's own figures.

It reads the shipped float16 checkpoint, so the figures are of what people get. A test compares its U-Net with the
host's; its transformer is the host's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.utils import convert_conv2d_weight_memory_format
from torch.utils.hooks import RemovableHandle

from respo_train.core.module.tokens import TokenGrid
from respo_train.precision import autocast

from . import text, world
from .autoencoder import Autoencoder
from .pack import NETWORK, TOKEN_IDS
from .train_transformer import OPTIONS, Velocity
from .train_unet import Denoiser, alphas_cumprod

STEPS, GUIDANCE = 20, 3.0


@dataclass(frozen=True)
class Request:
    """A prompt. With `h_from`, the conditional pass takes `h` from that other prompt."""

    words: str
    h_from: str | None = None


class World:
    """The U-Net's checkpoint, ready to draw."""

    part = "unet"
    size = (world.IMAGE_SIZE, world.IMAGE_SIZE)  # height and width of what is drawn, in pixels

    def build(self, tokens: int) -> Any:
        """Return the network and the text encoder as one module, its network called `part`."""
        return Denoiser(tokens)

    def __init__(self, checkpoint: Path, tokenizer: Path) -> None:
        state = load_file(checkpoint)
        token_ids = state.pop(TOKEN_IDS).tolist()
        self._vocabulary = text.Vocabulary(tokenizer, token_ids=token_ids)
        denoiser, autoencoder = {}, {}
        for name, weight in state.items():
            if name.startswith(NETWORK):
                denoiser[f"{self.part}.{name.removeprefix(NETWORK)}"] = weight.float()
            elif name.startswith("cond_stage_model.transformer.text_model."):
                denoiser["text." + name.removeprefix("cond_stage_model.transformer.text_model.")] = weight.float()
            elif "taesd" in name:
                autoencoder[name.removeprefix("first_stage_model.")] = weight.float()
        self.denoiser = self.build(len(token_ids) + 1)
        prefix = "text_model." if any(k.startswith("text.text_model.") for k in self.denoiser.state_dict()) else ""
        self.denoiser.load_state_dict(
            {k.replace("text.", f"text.{prefix}", 1) if k.startswith("text.") else k: v for k, v in denoiser.items()}
        )
        self.autoencoder = Autoencoder()
        self.autoencoder.load_state_dict(autoencoder)
        for network in (self.denoiser, self.autoencoder):
            convert_conv2d_weight_memory_format(network.eval().requires_grad_(False), torch.channels_last)
        self._schedule = alphas_cumprod()

    def rows(self, prompt: str) -> list[int]:
        """Return the MAX_TOKENS rows of the text encoder's embedding that a prompt takes."""
        return self._vocabulary.rows(prompt)

    def context(self, prompts: Sequence[str]) -> Tensor:
        """Return the encoded prompts, [B, MAX_TOKENS, CONTEXT]."""
        return text.context(self.denoiser.text, torch.tensor([self.rows(p) for p in prompts]))

    @torch.inference_mode()
    def draw(self, prompts: Sequence[Request], seeds: Sequence[int], batch: int = 64) -> Tensor:
        """Draw one picture per prompt and seed: float32 [B, 3, H, W] in [0, 1]. DDIM, 20 steps, guidance 3."""
        parts = []
        for start in range(0, len(prompts), batch):
            parts.append(self._draw(prompts[start : start + batch], seeds[start : start + batch]))
        return torch.cat(parts)

    def _draw(self, prompts: Sequence[Request], seeds: Sequence[int]) -> Tensor:
        shape = (4, self.size[0] // 8, self.size[1] // 8)
        z = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
        conditional = self.context([p.words for p in prompts])
        lent = self.context([p.h_from or p.words for p in prompts]) if any(p.h_from for p in prompts) else None
        empty = self.context([""]).expand_as(conditional)
        with autocast():
            z = self._denoise(z, conditional, empty, lent)
            return self.autoencoder.taesd_decoder(z).float().clamp(0, 1)

    def _denoise(self, z: Tensor, conditional: Tensor, empty: Tensor, lent: Tensor | None) -> Tensor:
        times = torch.linspace(999, 0, STEPS + 1).long()
        for now, after in pairwise(times):
            t = now.expand(len(z))
            guided = self._predict(z, t, conditional, lent)
            free = self.denoiser.unet(z, t, empty).float()
            z = self._step(z, free + GUIDANCE * (guided - free), int(now), int(after))
        return z

    def _predict(self, z: Tensor, t: Tensor, context: Tensor, lent: Tensor | None) -> Tensor:
        unet = self.denoiser.unet
        h, skips, emb = unet.encoder(z, t, context)
        if lent is not None:
            h = unet.encoder(z, t, lent)[0]
        return unet.decoder(h, skips, emb, context).float()

    def _step(self, z: Tensor, noise: Tensor, now: int, after: int) -> Tensor:
        a, b = self._schedule[now], self._schedule[after] if after > 0 else torch.tensor(1.0)
        clean = (z - (1 - a).sqrt() * noise) / a.sqrt()
        return b.sqrt() * clean + (1 - b).sqrt() * noise


class TransformerWorld(World):
    """The transformer's checkpoint, ready to draw: Euler steps along the flow."""

    part = "transformer"
    block = 4  # h is lent behind this block

    def build(self, tokens: int) -> Any:
        """See World."""
        return Velocity(tokens)

    def _denoise(self, z: Tensor, conditional: Tensor, empty: Tensor, lent: Tensor | None) -> Tensor:
        grid = TokenGrid(z.shape[-2] // 2, z.shape[-1] // 2)
        for now, after in pairwise(torch.linspace(1, 0, STEPS + 1)):
            hook = self._lending(grid, z, now, lent) if lent is not None else None
            guided = self._velocity(z, now, conditional)
            if hook is not None:
                hook.remove()
            free = self._velocity(z, now, empty)
            z = z + (after - now) * (free + GUIDANCE * (guided - free))
        return z

    def _velocity(self, z: Tensor, sigma: Tensor, context: Tensor) -> Tensor:
        network = self.denoiser.transformer
        found: Tensor = network(z, sigma.expand(len(z)), context, context.shape[1], transformer_options=OPTIONS)
        return found.float()

    def _lending(self, grid: TokenGrid, z: Tensor, sigma: Tensor, lent: Tensor) -> RemovableHandle:
        """Make the block give the image tokens that it gives for the prompts `lent`, until the handle is removed."""
        block = self.denoiser.transformer.layers[self.block - 1]
        seen: list[Tensor] = []

        def read(h: Tensor) -> Tensor:
            seen.append(h)
            return h

        hook = block.register_forward_hook(lambda _, __, output: grid.change(output, "at the end", read))
        self._velocity(z, sigma, lent)
        hook.remove()
        return block.register_forward_hook(lambda _, __, output: grid.change(output, "at the end", lambda _h: seen[0]))
