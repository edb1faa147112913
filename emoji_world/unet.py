"""The U-Net: Stable Diffusion 1.x's layout and key names in miniature; the host's own UNetModel runs the weights.

Two levels (16x16, 8x8), one residual block each; cross-attention only where the bottleneck depends on it: in the last
input block and in the middle block. A wider prototype with attention everywhere had a dead bottleneck: setting `h` to
zero changed nothing, so nothing could be steered there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .autoencoder import Upsample as Repeat

CHANNELS = 64
CONTEXT = 128
HEADS = 4


def timestep_embedding(timesteps: Tensor, width: int) -> Tensor:
    """[B] -> [B, width]: cosines, then sines, as Stable Diffusion has them."""
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=timesteps.device) / half)
    angles = timesteps[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class ResBlock(nn.Module):
    """Two convolutions with the time embedding added between them."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, n_in), nn.SiLU(), nn.Conv2d(n_in, n_out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * CHANNELS, n_out))
        last = nn.Conv2d(n_out, n_out, 3, padding=1)
        nn.init.zeros_(last.weight)
        # The third place is Stable Diffusion's dropout; it keeps the key names.
        self.out_layers = nn.Sequential(nn.GroupNorm(32, n_out), nn.SiLU(), nn.Identity(), last)
        self.skip_connection = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """[B, n_in, H, W], [B, 4C] -> [B, n_out, H, W]."""
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Attention(nn.Module):
    """Multi-head attention by two batched products: at these sizes faster on a CPU than the fused kernel."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Identity())

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """[B, N, width], [B, M, context] -> [B, N, width]."""
        q, k, v = (
            t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
        return self.to_out((weights @ v).transpose(1, 2).flatten(2))


class GatedLinear(nn.Module):
    """GEGLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 8 * width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., 4 width]."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * nn.functional.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU, then back to the width; key names are Stable Diffusion's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GatedLinear(width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., width]."""
        return self.net(x)


class TransformerBlock(nn.Module):
    """Self-attention, attention to the prompt, feed-forward."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn1, self.attn2, self.ff = Attention(width, width), Attention(width, CONTEXT), FeedForward(width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """[B, N, width], [B, M, CONTEXT] -> [B, N, width]."""
        normed = self.norm1(x)
        x = x + self.attn1(normed, normed)
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList(TransformerBlock(width) for _ in range(depth))
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """[B, width, H, W] -> the same shape."""
        h = self.proj_in(self.norm(x))
        tokens = h.flatten(2).mT
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + self.proj_out(tokens.mT.unflatten(2, x.shape[2:]))


class Downsample(nn.Module):
    """Convolution with stride 2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H/2, W/2]."""
        return self.op(x)


class Upsample(nn.Module):
    """Nearest-neighbour ×2, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.repeat = Repeat()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2H, 2W]."""
        return self.conv(self.repeat(x))


class UNet(nn.Module):
    """Predicts the noise: ([B, 4, H, W], [B] in 0…999, [B, T, CONTEXT]) -> [B, 4, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        narrow, wide = CHANNELS, 2 * CHANNELS
        self.time_embed = nn.Sequential(nn.Linear(narrow, 4 * narrow), nn.SiLU(), nn.Linear(4 * narrow, 4 * narrow))
        self.input_blocks = nn.ModuleList(
            [
                nn.ModuleList([nn.Conv2d(4, narrow, 3, padding=1)]),
                nn.ModuleList([ResBlock(narrow, narrow)]),
                nn.ModuleList([Downsample(narrow)]),
                nn.ModuleList([ResBlock(narrow, wide), SpatialTransformer(wide, 1)]),
            ]
        )
        self.middle_block = nn.ModuleList([ResBlock(wide, wide), SpatialTransformer(wide, 2), ResBlock(wide, wide)])
        self.output_blocks = nn.ModuleList(
            [
                nn.ModuleList([ResBlock(2 * wide, wide)]),
                nn.ModuleList([ResBlock(wide + narrow, wide), Upsample(wide)]),
                nn.ModuleList([ResBlock(wide + narrow, narrow)]),
                nn.ModuleList([ResBlock(2 * narrow, narrow)]),
            ]
        )
        last = nn.Conv2d(narrow, 4, 3, padding=1)
        nn.init.zeros_(last.weight)
        self.out = nn.Sequential(nn.GroupNorm(32, narrow), nn.SiLU(), last)

    def encoder(self, x: Tensor, timesteps: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Run the input blocks and the middle block: (h [B, 128, H/2, W/2], skips, time embedding)."""
        emb = self.time_embed(timestep_embedding(timesteps, CHANNELS))
        skips = []
        for block in self.input_blocks:
            x = _run(block, x, emb, context)
            skips.append(x)
        return _run(self.middle_block, x, emb, context), skips, emb

    def decoder(self, h: Tensor, skips: list[Tensor], emb: Tensor, context: Tensor) -> Tensor:
        """Run the output blocks from a given `h`."""
        remaining = list(skips)
        for block in self.output_blocks:
            h = _run(block, torch.cat([h, remaining.pop()], dim=1), emb, context)
        return self.out(h)

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """Predict the noise in `x`."""
        return self.decoder(*self.encoder(x, timesteps, context), context)


def _run(layers: nn.Module, x: Tensor, emb: Tensor, context: Tensor) -> Tensor:
    for layer in layers.children():
        if isinstance(layer, ResBlock):
            x = layer(x, emb)
        elif isinstance(layer, SpatialTransformer):
            x = layer(x, context)
        else:
            x = layer(x)
    return x
