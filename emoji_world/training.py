"""What the trainings of Emoji World share: one resumable loop, a learning-rate curve, Muon, averaged weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import overload

import torch
from torch import Tensor, nn
from tqdm import tqdm

from respo_train.core.files.write import make_folder, replacing

SAVE_EVERY = 100  # steps


def schedule(step: int, steps: int, warmup: int = 50) -> float:
    """Return the learning-rate factor: linear warm-up, flat, then a linear fall over the last 45 %."""
    if step < warmup:
        return (step + 1) / warmup
    return min(1.0, (steps - step) / (0.45 * steps))


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by Newton–Schulz (Jordan 2024): for weights that are matrices or convolutions."""

    def __init__(self, params: list[Tensor], lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient; return the loss of `closure`, None without one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for parameters in by_shape.values():  # matrices of one shape go through the iteration together
                self._update(parameters, group["lr"], group["momentum"])
        return loss

    def _update(self, parameters: list[Tensor], lr: float, momentum: float) -> None:
        updates = []
        for p in parameters:
            assert p.grad is not None  # `step` chooses those that have one
            buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
            buffer.lerp_(p.grad, 1 - momentum)
            updates.append(p.grad.lerp(buffer, momentum).flatten(1))
        rows, columns = updates[0].shape
        for p, update in zip(parameters, _orthogonalise(torch.stack(updates)), strict=True):
            p.add_(update.reshape(p.shape), alpha=-lr * max(1, rows / columns) ** 0.5)


def _orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """[N, rows, columns] -> the same shape, singular values near one.

    In float32: a CPU's bfloat16 has no fast path here.
    """
    transposed = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if transposed else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if transposed else x


def split_optimizers(
    model: nn.Module, muon_lr: float, adam_lr: float, plain: tuple[str, ...] = ()
) -> list[torch.optim.Optimizer]:
    """Return [Muon, AdamW]: matrices and kernels to Muon, the rest to AdamW.

    Parameters whose name contains one of `plain` go to AdamW as well: first and last layers, embeddings.
    """
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, p in model.named_parameters():
        (matrices if p.ndim >= 2 and not any(word in name for word in plain) else rest).append(p)
    return [Muon(matrices, lr=muon_lr), torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.01)]


class Loop:
    """Trains on `loss_of(generator)` for `steps` steps, saves its state every `save_every`, and resumes from it."""

    def __init__(
        self,
        model: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        file: Path,
        steps: int,
        seed: int,
        ema: float = 0.998,
        save_every: int = SAVE_EVERY,
    ) -> None:
        self.model, self.optimizers, self.file, self.steps, self.ema = model, optimizers, file, steps, ema
        self.save_every = save_every
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.generator = torch.Generator().manual_seed(seed)
        self.step = 0
        self._rates = [[g["lr"] for g in o.param_groups] for o in optimizers]
        if file.exists():
            self._load()

    def run(self, loss_of: Callable[[torch.Generator], Tensor], name: str) -> dict[str, Tensor]:
        """Train to the end and return the averaged weights."""
        bar = tqdm(initial=self.step, total=self.steps, desc=name, unit="step", mininterval=5)
        smooth, started = math.nan, time.monotonic()
        while self.step < self.steps:
            factor = schedule(self.step, self.steps)
            for optimizer, rates in zip(self.optimizers, self._rates, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
            loss = loss_of(self.generator)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            self._update_average()
            value = float(loss.detach())
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"{name}: loss {value} at step {self.step}; {self.file} keeps the last good state"
                )
            smooth = value if math.isnan(smooth) else 0.98 * smooth + 0.02 * value
            self.step += 1
            bar.set_postfix_str(f"loss {smooth:.4f}", refresh=False)
            bar.update()
            if self.step % self.save_every == 0 or self.step == self.steps:
                self._save()
        bar.close()
        print(f"{name}: {self.step} steps, loss {smooth:.4f}, {time.monotonic() - started:.0f} s", flush=True)
        return self.average

    def _update_average(self) -> None:
        keep = min(self.ema, (self.step + 1) / (self.step + 10))
        for name, value in self.model.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value.detach(), 1 - keep)
            else:
                self.average[name].copy_(value)

    def _save(self) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "generator": self.generator.get_state(),
        }
        make_folder(self.file.parent)
        with replacing(self.file) as file:
            torch.save(state, file)

    def _load(self) -> None:
        state = torch.load(self.file, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.generator.set_state(state["generator"])
