"""One training step of each paper, written down plainly on diffusers' U-Net.

Slow and obvious on purpose: a call of the whole network for every prediction, a loop over heads for every attention.
Nothing in here is from the trainer. `eps(z, t, prompt, delta)` stands for the paper's eps(z, y; h + d).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.training_utils import compute_snr
from torch import Tensor

from .stacks import Stacks, changed_middle


@dataclass
class Step:
    """What a step of RespoDiff gives: both losses, their gradients, and the noise that its trajectory goes on with."""

    loss_responsible: Tensor
    loss_semantic: Tensor
    grad_ram: Tensor
    grad_sam: Tensor
    guided: Tensor


def respodiff(stacks: Stacks, z: Tensor, t: Tensor, prompts: Any, ram: Tensor, sam: Tensor, how: Any) -> Step:
    """Section 3 of the paper. `prompts`: `neutral`, `target`, `uncond`, `others`; `how`: the numbers and choices."""
    ram, sam = ram.clone().requires_grad_(), sam.clone().requires_grad_()

    def eps(prompt: Any, delta: Tensor | None = None) -> Tensor:
        return stacks.predict(z, t, prompt.context, delta, added_of(prompt, len(z)))

    with torch.no_grad():
        uncond, neutral, asked = eps(prompts.uncond), eps(prompts.neutral), eps(prompts.target)
        if how.purpose == "safety":
            # The unwanted concept is the negative prompt, the neutral prompt the positive one.
            target = asked + how.guidance * (neutral - asked)
        elif how.target_from == "unconditional":
            target = uncond + how.guidance * (asked - uncond)
        elif how.target_from == "neutral":
            target = neutral + how.guidance * (asked - neutral)
        else:
            away = sum(eps(other) for other in prompts.others) / len(prompts.others)
            target = neutral + how.guidance * (asked - away)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        weights = 1 if how.snr_gamma is None else (how.snr_gamma / compute_snr(how.scheduler, t)).clamp(max=1)
        return (weights * ((a - b) ** 2).mean((1, 2, 3))).mean()

    loss_responsible = distance(eps(prompts.neutral, ram), target)
    (grad_ram,) = torch.autograd.grad(loss_responsible, ram)
    student = eps(prompts.neutral, ram.detach() + sam)
    loss_semantic = how.lambda_ * distance(student, neutral)
    if how.semantic_target == "between":  # ours: what is left of the effect is 1 / (1 + lambda)
        loss_semantic = loss_semantic + distance(student, target)
    (grad_sam,) = torch.autograd.grad(loss_semantic, sam)
    guided = uncond + how.trajectory_guidance * (student.detach() - uncond)
    return Step(loss_responsible.detach(), loss_semantic.detach(), grad_ram, grad_sam, guided)


@dataclass
class Adam:
    """Kingma and Ba 2015, algorithm 1, with its own numbers."""

    lr: float
    m: Tensor | float = 0.0
    v: Tensor | float = 0.0
    steps: int = 0

    def moved(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        self.steps += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        m, v = self.m / (1 - 0.9**self.steps), self.v / (1 - 0.999**self.steps)
        return parameter - self.lr * m / (v.sqrt() + 1e-8)


def added_of(prompt: Any, count: int) -> dict[str, Tensor] | None:
    """SDXL's pooled text and sizes: the picture's own height and width, no crop."""
    pooled = getattr(prompt, "pooled", None)
    if pooled is None:
        return None
    height, width = prompt.size
    sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32)
    return {"text_embeds": pooled.expand(count, -1), "time_ids": sizes.expand(count, -1)}


def sdisc(stacks: Stacks, z: Tensor, t: Tensor, noise: Tensor, neutral: Any, v: Tensor) -> tuple[Tensor, Tensor]:
    """Reconstruct the noise in a picture of the concept from the neutral prompt. Returns loss and gradient."""
    v = v.clone().requires_grad_()
    loss = ((stacks.predict(z, t, neutral.context, v) - noise) ** 2).mean()
    return loss.detach(), torch.autograd.grad(loss, v)[0]


@dataclass
class Looks:
    """A cross-attention of diffusers done by hand, head by head, which keeps how much each pixel looks at each place.

    `chi`: which pixels' output becomes 0, `[B, P]` from queries and the layer itself; None: none.
    """

    chi: Any = None
    kept: list[Tensor] = field(default_factory=list)  # `[B, P, places]`, mean over heads

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, *more: Any, **named: Any
    ) -> Any:
        q = attn.to_q(hidden_states)
        weights = weights_of(attn, q, encoder_hidden_states)
        values = attn.to_v(encoder_hidden_states).chunk(attn.heads, dim=2)
        out = torch.cat([w @ value for w, value in zip(weights, values, strict=True)], dim=2)
        self.kept.append((sum(weights) / attn.heads).detach())
        if self.chi is not None:
            out = out * (~self.chi(attn, q))[:, :, None]
        return attn.to_out[0](out)


def weights_of(attn: Any, q: Tensor, context: Tensor) -> list[Tensor]:
    """The attention weights `[B, P, places]` of each head."""
    queries, keys = q.chunk(attn.heads, dim=2), attn.to_k(context).chunk(attn.heads, dim=2)
    return [(a @ b.transpose(1, 2) / a.shape[2] ** 0.5).softmax(2) for a, b in zip(queries, keys, strict=True)]


@contextmanager
def looking(net: Any, processors: list[Looks | None]) -> Iterator[None]:
    """Give each cross-attention, in the order in which they run, its processor (None: its own) for a while."""
    parts = [part for block in net.down_blocks for part in getattr(block, "attentions", [])]
    parts += list(net.mid_block.attentions)
    parts += [part for block in net.up_blocks for part in getattr(block, "attentions", [])]
    layers = [block.attn2 for part in parts for block in part.transformer_blocks]
    before = [layer.processor for layer in layers]
    try:
        for layer, processor in zip(layers, processors, strict=True):
            if processor is not None:
                layer.set_processor(processor)
        yield
    finally:
        for layer, processor in zip(layers, before, strict=True):
            layer.set_processor(processor)


def where(
    stacks: Stacks, z: Tensor, t: Tensor, noise: Tensor, prompts: Any, v: Tensor, parts: Any
) -> tuple[Tensor, Tensor, SimpleNamespace]:
    """Learning Where It Matters, as the reference states its three parts. Returns loss, gradient, and what was seen.

    `prompts`: `neutral`, `target` and the places of `neutral_words` and of the `attribute`; `parts`: the switches;
    `layers`: cross-attentions in the whole network, the first `encoding` of them before the decoder.
    """
    v = v.clone().requires_grad_()
    count = len(z)
    masks: list[Tensor] = []

    def chi(attn: Any, q: Tensor) -> Tensor:
        """Where a pixel looks more at the attribute's words than at the conditioning prompt's."""
        attribute = prompts.target.context[:, prompts.attribute]
        both = torch.cat([prompts.neutral.context, attribute], dim=1).expand(count, -1, -1)
        weights = sum(weights_of(attn, q, both)) / attn.heads
        own = weights[:, :, prompts.neutral_words].sum(2)
        other = weights[:, :, prompts.neutral.context.shape[1] :].sum(2)
        score = ((other - own) / (other + own) + 1) / 2
        masks.append((score > parts.tau).detach())
        return masks[-1]

    # The heat map: attention to the attribute's words, with the target prompt, before the decoder.
    watchers = [Looks() for _ in range(parts.encoding)]
    sizes: list[tuple[int, int]] = []
    watching = [*watchers, *[None] * (parts.layers - parts.encoding)]
    size_of = changed_middle(stacks.net, lambda h: sizes.append(tuple(h.shape[2:])))
    with torch.no_grad(), looking(stacks.net, watching), size_of:
        stacks.predict(z, t, prompts.target.context)
    maps = []
    for watcher in watchers:
        seen = watcher.kept[0][:, :, prompts.attribute].sum(2)
        scale = round((z.shape[2] * z.shape[3] / seen.shape[1]) ** 0.5)
        seen = seen.view(count, 1, z.shape[2] // scale, z.shape[3] // scale)
        maps.append(F.avg_pool2d(seen, seen.shape[2] // sizes[0][0]))
    heat = sum(maps) / len(maps)
    low, high = heat.amin((2, 3), keepdim=True), heat.amax((2, 3), keepdim=True)
    heat = (heat - low) / (high - low)

    acting = {"all": range(parts.layers), "last": [parts.layers - 1]}[parts.where] if parts.suppress else []
    processors = [Looks(chi) if layer in acting else None for layer in range(parts.layers)]
    m = 1 / (1 + torch.exp(10 * (heat - 0.5))) if parts.attenuate else 1.0
    with looking(stacks.net, processors), changed_middle(stacks.net, lambda h: m * h + v):
        predicted = stacks.net(z, t, prompts.neutral.context.expand(count, -1, -1)).sample
    error = (predicted - noise) ** 2
    if parts.weigh:
        error = (1 + parts.beta * F.interpolate(heat, size=z.shape[2:], mode="bilinear")) * error
    loss = error.mean()
    return loss.detach(), torch.autograd.grad(loss, v)[0], SimpleNamespace(heat=heat, masks=masks)
