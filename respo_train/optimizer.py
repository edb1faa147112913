"""The optimizers: Adam, and Adam with a single step size for each tensor.

Adam divides each entry's step by the magnitude of that entry's own gradients. So entries of a grid that hardly matter
(at the picture's border, say) move as far as those that do, in random directions. On Emoji World after 150 steps a
grid's border was nearly as large as its middle (norms of 22 and 30 per place; 7 and 35 with one step size). With one
second moment for the whole tensor (Adam-mini has one per block, arXiv 2406.16793) entries move in proportion to their
gradients.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .settings.config import TrainConfig

EPSILON = 1e-12  # small, as are the gradients of an error averaged over a whole prediction


class OneScaleAdam(torch.optim.Optimizer):
    """`p -= lr * m / sqrt(v)`: m is the running mean of gradients, v that of their mean squares, both bias-corrected.

    `lr`: about the root mean square of one step's changes. `weight_decay`: decoupled, as in AdamW. State entries are
    those of torch's Adam ("step", "exp_avg", "exp_avg_sq"); the last one holds a single number.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.99),
    ):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "betas": betas})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure: losses share one backward pass
        """Take one step with the current gradients; parameters without a gradient do not change."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)

    def _move(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = grad.new_zeros(())
        beta1, beta2 = group["betas"]
        state["step"] += 1
        done = state["step"].item()
        state["exp_avg"].lerp_(grad, 1 - beta1)
        state["exp_avg_sq"].lerp_(grad.square().mean(), 1 - beta2)
        scale = (state["exp_avg_sq"] / (1 - beta2**done)).sqrt() + EPSILON
        mean = state["exp_avg"] / (1 - beta1**done)
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(mean / scale, alpha=-group["lr"])


def optimizer_of(config: TrainConfig, parameters: Iterable[Tensor], lr: float) -> torch.optim.Optimizer:
    """Return the configured optimizer. torch's AdamW without weight decay is Adam."""
    kind = OneScaleAdam if config.optimizer == "one_scale_adam" else torch.optim.AdamW
    return kind(parameters, lr=lr, weight_decay=config.weight_decay)
