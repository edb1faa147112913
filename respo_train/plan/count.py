"""Count what one training step takes, by running the trainer's own step on tensors without numbers.

PyTorch's fake tensors know their shapes, types and lifetimes, and compute nothing. So this needs no weights and no GPU.
"""

from __future__ import annotations

import io
import math
import weakref
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ..network import SplitNetwork
from ..settings.config import TrainConfig
from ..team import ALONE, Team
from ..trainer import ConceptState, gradients, settings_of, start

# Training data of a pretended run: as few as there can be.
_SHORTEST = {"trajectory_steps": 2, "picture_steps": 2}
_NO_NUMBER = 1.0  # what is read from a tensor without numbers


@dataclass(frozen=True)
class StepCost:
    """What training one concept takes, in bytes of tensors.

    `weights`: of the U-Net. `kept`: the concept's own, between two steps. `peak`: the most at once, without the other
    two. `flops`: of one step, backward passes included; a multiplication and an addition are 2. `module`: of the
    trained parameters. `state`: of what a run saves for this concept.
    """

    weights: int
    kept: int
    peak: int
    flops: int
    module: int
    state: int


def count_step(
    config: TrainConfig, outline: Callable[[], tuple[SplitNetwork, Iterable[Tensor]]], team: Team = ALONE
) -> StepCost:
    """Return what one concept's step takes. `outline`: makes the U-Net on fake tensors, and returns its weights too."""
    few = max(2, len(team.rows(config.batch)))
    short = config.model_copy(update={**_SHORTEST, "pictures": min(few, config.pictures)})
    quiet = redirect_stderr(io.StringIO())  # progress bars
    with quiet, FakeTensorMode(allow_non_fake_inputs=True), Ledger() as ledger:
        unet, weights = outline()
        ledger.add(weights)
        own = sum(weight.untyped_storage().nbytes() for weight in weights)
        setting = next(iter(settings_of(short, unet, team).values()))
        state = start(setting)
        at_start = ledger.peak
        ledger.flops = 0
        gradients(setting, state, 0)
        flops = ledger.flops
        for optimizer in state.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
        kept = ledger.live - own
        module, saved = _saved(state)
    return StepCost(own, kept, max(at_start, ledger.peak) - own - kept, flops, module, saved)


class Ledger(TorchDispatchMode):
    """Follows the memory of all tensors that are made inside, and counts FLOPs."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = self.flops = 0
        self._known: dict[int, int] = {}  # bytes of each storage

    def add(self, tensors: Iterable[Any]) -> None:
        """Count the storages of `tensors` until they are freed."""
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            if storage._cdata not in self._known:
                self._known[storage._cdata] = storage.nbytes()
                self.live += storage.nbytes()
                weakref.finalize(storage, self._drop, storage._cdata)
        self.peak = max(self.peak, self.live)

    def _drop(self, key: int) -> None:
        self.live -= self._known.pop(key)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count it."""
        if function is torch.ops.aten._local_scalar_dense.default:
            return _NO_NUMBER
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        self.add(tree_leaves(out))
        packet = function._overloadpacket
        if packet in flop_registry:
            self.flops += flop_registry[packet](*args, **kwargs, out_val=out)
        elif packet in _ATTENTION_OF_CPUS:
            self.flops += _ATTENTION_OF_CPUS[packet](*args)
        return out


def _attention(q: Tensor, k: Tensor, *_: Any) -> int:
    return 4 * math.prod(q.shape) * k.shape[2]


def _attention_backward(_: Tensor, q: Tensor, k: Tensor, *__: Any) -> int:
    # As PyTorch counts it for GPUs: five products, of which one is done again.
    return 10 * math.prod(q.shape) * k.shape[2]


_fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_ATTENTION_OF_CPUS: dict[Any, Callable[..., int]] = {
    _fused: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def _saved(state: ConceptState) -> tuple[int, int]:
    """Return the bytes of the trained parameters, and of all that `resume.save_state` writes for this concept."""
    module = sum(parameter.nbytes for parameter in state.module.parameters())
    optimizers = [optimizer.state_dict()["state"] for optimizer in state.optimizers.values()]
    entries = [value for own in optimizers for row in own.values() for value in row.values()]
    return module, module + sum(value.nbytes for value in [*entries, *state.source.tensors().values()])
