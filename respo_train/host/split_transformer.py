"""The host's own transformer, split behind one of its blocks, so that only the blocks behind it run with gradients.

Both halves are calls of the whole network, whatever its family: the first ends behind block k, and in the second every
block up to k gives at once what it gave in the first. So nothing of a family's forward pass is repeated here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from ..core.errors import RespoError
from ..core.module.architecture import tokens_of
from ..core.module.tokens import Stream, TokenGrid, grid_of
from ..network import AttentionHook, Conditioning, Encoded
from .host_network import HostNetwork

STEPS = 1000  # of the trainer's schedule
Place = tuple[str, int]  # the name of a list of blocks, and the index in it


@dataclass
class _Pass:
    """One call of the network: what its blocks give, by place, and with which `h` the second half goes on.

    Of the lists that hold `last` and of those before, only the last output is kept, since nothing reads the others.
    """

    last: Place
    stream: Stream
    grid: TokenGrid
    h: Tensor | None = None
    outputs: dict[Place, Any] = field(default_factory=dict)
    checkpointing: bool = False
    begun: bool = False  # the second half is behind `last`


class _Split(Exception):
    """Raised behind block k, to end the first half."""


class HostTransformer(HostNetwork):
    """A transformer of a family that the pack knows, which predicts a flow's velocity. See HostNetwork.

    h are the image tokens behind block `architecture.block`, `[B, D, rows, columns]`.
    """

    def __init__(self, *model: Any, **options: Any) -> None:
        super().__init__(*model, **options)
        self._now = threading.local()  # each concept is trained by a thread of its own
        self._given = _given(self._patcher.model, self.architecture.context_dim, self._device)
        # Families whose latents are videos draw a picture as one frame.
        self._frames = (1,) * (self._patcher.model.latent_format.latent_dimensions - 2)
        self._layout: dict[Place, int | None] = {}
        tokens = tokens_of(self._net)
        assert tokens is not None  # or there would be no architecture
        self._steered = [own.name for own in tokens.lists]
        self._blocks, index = tokens.place(self._net, self.architecture.block)
        self._last = (self._blocks.name, index)
        self._wrap_blocks(lambda forward: forward)

    def _read_schedule(self, model: Any) -> Tensor:
        """See HostNetwork. A flow's x = (1 - sigma) picture + sigma noise, scaled so that its variance is preserved."""
        from comfy.model_sampling import CONST

        if type(model.model_sampling).calculate_denoised is not CONST.calculate_denoised:
            raise RespoError(f"expected a transformer that predicts a flow's velocity, found {model.model_type.name}.")
        sigmas = torch.arange(1, STEPS + 1, dtype=torch.float64) / (STEPS + 1)
        return ((1 - sigmas).square() / _variance(sigmas)).float()

    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        """Run the blocks up to k without gradients. See `network.SplitNetwork`."""
        _refuse(hook)
        batch = latents.shape[0]
        context = conditioning.context.expand(batch, -1, -1)
        added = None if conditioning.added is None else conditioning.added.expand(batch, -1)
        sigmas = (timesteps + 1).float() / (STEPS + 1)
        this = self._pass(latents, context)
        with torch.no_grad(), self._autocast():
            try:
                self._run(this, latents, sigmas, context, added)
            except _Split:
                pass
            else:
                raise RespoError("expected the network to run its blocks, found that another node replaces them.")
        assert this.h is not None
        # The same for every call, so it does not matter which thread writes it.
        self._layout = {
            place: len(found) if isinstance(found, tuple) else None for place, found in this.outputs.items()
        }
        outputs = (found if isinstance(found, tuple) else (found,) for found in this.outputs.values())
        skips = (*chain.from_iterable(outputs), *(() if added is None else (added,)))
        return Encoded(this.h, skips, sigmas, context, latents, timesteps)

    def decoder(self, encoded: Encoded, h: Tensor, hook: AttentionHook | None = None) -> Tensor:
        """Run the blocks behind k from `h`. See `network.SplitNetwork`."""
        _refuse(hook)
        this = self._pass(encoded.latents, encoded.context)
        left = iter(encoded.skips)
        this.h, this.outputs = h, {place: _taken(left, count) for place, count in self._layout.items()}
        this.checkpointing = self._checkpointing and torch.is_grad_enabled() and h.requires_grad
        with self._autocast():
            velocity = self._run(this, encoded.latents, encoded.embedding, encoded.context, next(left, None)).float()
        sigmas = encoded.embedding.view(-1, 1, 1, 1)
        return _variance(sigmas).sqrt() * encoded.latents + (1 - sigmas) * velocity

    def _pass(self, latents: Tensor, context: Tensor) -> _Pass:
        grid = grid_of(self._net, latents.shape[2], latents.shape[3], context.shape[1])
        return _Pass(self._last, self._blocks.stream, grid)

    def _run(self, this: _Pass, latents: Tensor, sigmas: Tensor, context: Tensor, added: Tensor | None) -> Tensor:
        x = _variance(sigmas).sqrt().view(-1, 1, 1, 1) * latents
        x = x.unflatten(1, (-1, *self._frames))
        given = {
            name: value.expand(len(x), *value.shape[1:]) if isinstance(value, Tensor) else context.shape[1]
            for name, value in self._given.items()
        }
        if added is not None:
            given["y"] = added
        timesteps = self._patcher.model.model_sampling.timestep(sigmas)
        self._now.this = this
        try:
            found: Tensor = self._net(
                x, timesteps, context=context, transformer_options=self._transformer_options(), **given
            )
        finally:
            self._now.this = None
        return found.reshape(latents.shape)

    def _transformer_options(self) -> dict[str, Any]:
        return {"optimized_attention_override": _attend} if self._replaces_attention else {}

    def _run_block(self, place: Place, forward: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Run one block of any of the network's lists, as far as this half needs it."""
        this: _Pass | None = getattr(self._now, "this", None)
        if this is None:
            return forward(*arguments, **named)
        if this.h is not None and not this.begun:
            return self._known(this, place)
        if this.h is not None and torch.is_grad_enabled():
            forward = partial(_out_of_place, forward)
        if this.checkpointing:  # blocks use no random numbers
            return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, **named)
        output = forward(*arguments, **named)
        if this.h is None:
            kept = (place[0], 0) if place[0] in self._steered else place
            this.outputs[kept] = output
            if place == this.last:
                this.grid.change(output, this.stream, partial(_keep, this))
                raise _Split
        return output

    def _known(self, this: _Pass, place: Place) -> Any:
        """Return what the block gave in the first half, and behind block k the new h in its place."""
        output = this.outputs[(place[0], 0) if place[0] in self._steered else place]
        if place != this.last:
            return output
        this.begun = True
        new = this.h
        assert new is not None
        return this.grid.change(output, this.stream, lambda _: new)

    def _compile(self) -> None:
        self._wrap_blocks(torch.compile)

    def _wrap_blocks(self, prepare: Callable[[Any], Any]) -> None:
        for name, blocks in self._net.named_children():
            if isinstance(blocks, nn.ModuleList):
                for number, block in enumerate(blocks):
                    # `prepare` gets the class's own method: wrapping again replaces the wrapper.
                    own = prepare(MethodType(type(block).forward, block))
                    block.forward = partial(self._run_block, (name, number), own)


def _given(model: Any, context_dim: int, device: torch.device) -> dict[str, Tensor | None]:
    """Return what the network takes besides the prompt: distilled guidance, `[1]`; None for the number of its tokens.

    Raises RespoError for a model that takes anything else.
    """
    entries = model.extra_conds(
        cross_attn=torch.zeros(1, 8, context_dim),
        pooled_output=torch.zeros(1, 2048),
        noise=torch.zeros(1, model.latent_format.latent_channels, 2, 2),
        width=16,
        height=16,
        device=device,
    )
    known = {"c_crossattn", "y", "guidance", "num_tokens"}
    if getattr(model.diffusion_model, "clip_text_pooled_proj", None) is None:
        known.add("clip_text_pooled")  # newer hosts give it to every NextDiT, and only NewBie's reads it
    unknown = set(entries) - known
    if unknown:
        raise RespoError(f"expected a text-to-image model, found one that also takes {', '.join(sorted(unknown))}.")
    guidance = {"guidance": entries["guidance"].cond.to(device)} if "guidance" in entries else {}
    return {**guidance, **({"num_tokens": None} if "num_tokens" in entries else {})}


def _taken(left: Iterator[Tensor], count: int | None) -> Any:
    return next(left) if count is None else tuple(islice(left, count))


def _keep(this: _Pass, h: Tensor) -> Tensor:
    this.h = h
    return h


def _variance(sigmas: Tensor) -> Tensor:
    """Return the variance of a flow's latents, `(1 - sigma)^2 + sigma^2`."""
    return (1 - sigmas).square() + sigmas.square()


class _OutOfPlace(TorchFunctionMode):
    """Computes `x += y` as `x = x + y`: Flux adds to tensors that their own gradient still needs."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See `torch.overrides`. `+=` arrives here as `Tensor.add_`."""
        del types
        if func is Tensor.add_ and args[0].requires_grad:
            func = torch.add
        return func(*args, **(kwargs or {}))


def _out_of_place(forward: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    with _OutOfPlace():
        return forward(*arguments, **named)


def _attend(_: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    from comfy.ldm.modules.attention import attention_pytorch

    return attention_pytorch(*arguments, **named)


def _refuse(hook: AttentionHook | None) -> None:
    if hook is not None:
        raise RespoError("expected a network with cross-attention, found one with joint attention only.")
