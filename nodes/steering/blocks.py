"""Change h of a transformer: hooks on its blocks for the time of one call, through the host's APPLY_MODEL.

Every family that the host has can be reached in this one way. The host's own patches for blocks differ from family to
family, some families have none, and only one node can replace a block. The network is that of the running call, because
hosts may sample with another copy of the model than the one that was patched.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...respo_train.core.errors import RespoError
from ...respo_train.core.module.architecture import tokens_of
from ...respo_train.core.module.tokens import Blocks, TokenGrid, grid_of
from ..calls.call import argument

Steer = Callable[[Tensor, Mapping[str, Any]], Tensor]  # h `[B, D, rows, columns]`, transformer_options -> the new h
# The calls that this thread is in, one for each wrapper: edits, and a tape around the network that they change. A hook
# stays in the code of a compiled network, and another thread may be calling the same network: both find theirs here.
_CALLS: ContextVar[tuple[_Call, ...]] = ContextVar("respo_calls", default=())

_HOOKED: dict[tuple[torch.nn.Module, Callable], tuple[int, Any]] = {}  # a hook in use -> how many calls, its handle
_LOCK = threading.Lock()


class _Call:
    """One call of a network, and what its hooks do."""

    def __init__(self, grid: TokenGrid, steers: Mapping[int, Steer], options: Mapping[str, Any]) -> None:
        self._grid, self._steers, self._options = grid, steers, options
        self._left = set(steers)

    def output(self, blocks: Blocks, block: int, output: Any) -> Any:
        """Return what a block gives, with its h changed; None for a block that is not steered in this call."""
        if block not in self._steers:
            return None
        self._left.discard(block)
        return self._grid.change(output, blocks.stream, lambda h: self._steers[block](h, self._options))

    def note_text(self, output: Any) -> None:
        """Note how many tokens the text has in the network: other nodes add some to those of the prompt."""
        self._grid = replace(self._grid, text=output[1].shape[1])

    def require_all(self) -> None:
        """Raise RespoError when a block was not reached: a picture that was not steered must not look as if it was."""
        if self._left:
            raise RespoError(
                f"expected the network to run its block {min(self._left)}, found that it was not run by itself. It may "
                "be compiled as a whole, or another node skips blocks. Compile it block by block, or bypass that node."
            )


def steering(steers: Mapping[int, Steer]) -> Callable:
    """Return a wrapper of the host's apply_model that changes h behind each block of `steers`.

    The hooks are removed when the call ends, however it ends.
    """

    def steer_blocks(executor: Any, *given: Any, **named: Any) -> Any:
        network = executor.class_obj.diffusion_model
        network = getattr(network, "_orig_mod", network)  # of one that is compiled
        tokens = tokens_of(network)
        assert tokens is not None  # or the host would not have been given this wrapper
        grid = grid_of(network, *argument(given, named, "x").shape[-2:])
        call = _Call(grid, steers, argument(given, named, "transformer_options") or {})
        traced, outer = "torch._dynamo" in sys.modules, _CALLS.get()
        with ExitStack() as undo:
            undo.callback(_CALLS.reset, _CALLS.set((*outer, call)))
            for block in steers:
                blocks, index = tokens.place(network, block)
                hook = _hook(blocks, block, len(outer), traced)
                undo.enter_context(_hooked(getattr(network, blocks.name)[index], hook))
            if (before := tokens.both_streams(network)) is not None:
                undo.enter_context(_hooked(before, _note(traced)))
            result = executor(*given, **named)
        call.require_all()
        return result

    return steer_blocks


@contextmanager
def _hooked(module: torch.nn.Module, hook: Callable) -> Iterator[None]:
    """Keep a hook on a module until the last of the calls that share it ends: two threads must not add it twice."""
    key = module, hook
    with _LOCK:
        calls, handle = _HOOKED.get(key) or (0, module.register_forward_hook(hook))
        _HOOKED[key] = calls + 1, handle
    try:
        yield
    finally:
        with _LOCK:
            calls, handle = _HOOKED.pop(key)
            if calls > 1:
                _HOOKED[key] = calls - 1, handle
            else:
                handle.remove()


@lru_cache(maxsize=256)
def _hook(blocks: Blocks, block: int, depth: int, traced: bool) -> Callable:
    """Return the hook of a block: it does what the running call number `depth` wants, and nothing outside of one."""

    def hook(module: Any, given: Any, output: Any) -> Any:
        calls = _CALLS.get()
        return calls[depth].output(blocks, block, output) if depth < len(calls) else None

    return _opaque(hook, traced)


@lru_cache(maxsize=2)
def _note(traced: bool) -> Callable:
    """Return the hook that notes how many tokens the text has."""

    def hook(module: Any, given: Any, output: Any) -> None:
        for call in _CALLS.get():
            call.note_text(output)

    return _opaque(hook, traced)


def _opaque(hook: Callable, traced: bool) -> Callable:
    """Return a hook that no compiler looks into: it would keep the values of the first call.

    `traced`: whether there may be a compiler. Asking for one takes seconds.
    """
    return torch.compiler.disable(hook) if traced else hook
