"""A plan: what a training takes in memory, time and disk, and what to change where it does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from ..settings.config import TrainConfig
from .count import StepCost

GB = 1e9
# Beside tensors: the GPU's context, work space of its kernels, gaps between blocks; on a processor work space alone.
_BESIDE = {"cpu": 0.5e9}
_BESIDE_ON_A_GPU = 1e9
_PREVIEWS = 20e6  # bytes on disk, about


@dataclass(frozen=True)
class Machine:
    """What trains. `free`: bytes that the training may use, its weights included. `speed`: FLOPs a second.

    `measured`: whether the speed is, or taken from its maker. `threads`: how many concepts are
    trained at the same time, on a processor.
    """

    name: str
    device: torch.device
    dtype: torch.dtype
    free: float
    speed: float
    measured: bool = True
    threads: int = 1


@dataclass(frozen=True)
class Plan:
    """What training `config` takes on `machine`. `count`: what a step takes without and with checkpointing.

    `size`: (height, width) of the pictures in pixels.
    """

    config: TrainConfig
    machine: Machine
    size: tuple[int, int]
    count: Callable[[bool], StepCost]

    @cached_property
    def plain(self) -> StepCost:
        """One concept's step without checkpointing."""
        return self.count(False)

    @cached_property
    def recomputed(self) -> StepCost:
        """One concept's step with checkpointing."""
        return self.count(True)

    @cached_property
    def checkpointing(self) -> bool:
        """Whether to use checkpointing: as the configuration says, or where it does not fit without."""
        if self.config.checkpointing == "auto":
            return self.needed(self.plain) > self.machine.free
        return self.config.checkpointing == "on"

    @property
    def cost(self) -> StepCost:
        """One concept's step as it will be trained."""
        return self.recomputed if self.checkpointing else self.plain

    @property
    def fits(self) -> bool:
        """Whether the memory suffices."""
        return self.needed(self.cost) <= self.machine.free

    def needed(self, cost: StepCost, share: float = 1.0) -> float:
        """Return the bytes at the peak of a step. `share`: of the batch's pixels."""
        concepts = len(self.config.concepts)
        at_once = min(concepts, self.machine.threads)
        beside = _BESIDE.get(self.machine.device.type, _BESIDE_ON_A_GPU)
        return cost.weights + beside + concepts * cost.kept + at_once * cost.peak * share

    @property
    def flops(self) -> int:
        """FLOPs of one step of all concepts."""
        return len(self.config.concepts) * self.cost.flops

    @property
    def seconds(self) -> float:
        """About how long a step takes."""
        return self.flops / self.machine.speed

    @property
    def disk(self) -> float:
        """Bytes that the run writes, about."""
        each = self.cost.module + self.cost.state
        if self.config.objective != "respodiff":
            height, width = self.size
            each += self.config.pictures * 4 * (height // 8) * (width // 8) * 2  # latents in float16
        return len(self.config.concepts) * each + _PREVIEWS

    def advice(self) -> str:
        """Return what to change so that it fits; empty where it does."""
        if self.fits:
            return ""
        recomputed = self.recomputed
        if not self.checkpointing and self.needed(recomputed) <= self.machine.free:
            return f"turn checkpointing on: {_gb(self.needed(recomputed))} then"
        for change, share in self._smaller():
            if self.needed(recomputed, share) <= self.machine.free:
                also = "" if self.checkpointing else "turn checkpointing on and "
                return f"{also}use {change}: about {_gb(self.needed(recomputed, share))} then"
        least = self.needed(recomputed, 0)
        return f"its weights alone take {_gb(least)}: train on a machine with more memory"

    def _smaller(self) -> Iterator[tuple[str, float]]:
        batch = self.config.batch
        while batch > 1:
            batch //= 2
            yield f"a batch of {batch}", batch / self.config.batch
        for eighths in range(7, 1, -1):
            height, width = (max(64, side * eighths // 8 // 64 * 64) for side in self.size)
            share = height * width / (self.size[0] * self.size[1])
            yield f"a batch of 1, {width} x {height} pixels", share / self.config.batch

    def when_out_of_memory(self) -> str:
        """Return what to say when memory ran out, whether the plan foresaw it or not."""
        less = f"use {next(self._smaller())[0]}" if self.checkpointing else "turn checkpointing on"
        advice = self.advice() or less
        needed, free = _gb(self.needed(self.cost)), _gb(self.machine.free)
        same = "batch" not in advice
        go_on = "The run can then be continued" if same else "That makes another module, so start it anew"
        return f"A step was counted to need {needed}, and {free} were free: {advice}. {go_on}."

    def sentence(self) -> str:
        """Return memory and time in one sentence, and what to change where it does not fit."""
        how = " with checkpointing" if self.checkpointing else ""
        needs = f"A step needs about {_gb(self.needed(self.cost))} of memory{how}"
        needs += f", {_gb(self.machine.free)} are free on {self.machine.name}"
        needs += f"; {self.config.steps} steps take about {_time(self.seconds * self.config.steps)}"
        needs += f" and {_gb(self.disk)} of disk"
        return f"{needs}." if self.fits else f"{needs}. It may not fit: {self.advice()}."

    def lines(self) -> Iterator[str]:
        """Yield the whole plan, as it is printed."""
        cost, machine, config = self.cost, self.machine, self.config
        height, width = self.size
        yield (
            f"{config.attribute}: {', '.join(config.concepts)}; {width} x {height} pixels, batch {config.batch}, "
            f"{str(machine.dtype).removeprefix('torch.')}, recipe {config.recipe}"
        )
        needed = self.needed(cost)
        yield (
            f"memory  {_gb(needed)} at the peak of a step: {_gb(cost.weights)} of weights, "
            f"{_gb(needed - cost.weights)} to work in; {_gb(machine.free)} are free on {machine.name}"
        )
        for name, own in (("off", self.plain), ("on", self.recomputed)):
            chosen = " (chosen)" if own is cost else ""
            yield (
                f"        {_gb(self.needed(own))} and {len(config.concepts) * own.flops / 1e12:.3g} TFLOP a step with "
                f"checkpointing {name}{chosen}"
            )
        how = "measured in two seconds" if machine.measured else "assumed from its maker's figures"
        yield (
            f"time    about {_time(self.seconds)} a step, {_time(self.seconds * config.steps)} for {config.steps} "
            f"steps, at {machine.speed / 1e12:.3g} TFLOP/s ({how}); within a factor of two"
        )
        yield f"disk    {_gb(self.disk)}"
        yield f"fits    {'yes' if self.fits else 'no: ' + self.advice()}"


def _gb(amount: float) -> str:
    """Return an amount of bytes as people say it: "7.5 GB", "40 MB"."""
    return f"{amount / GB:.1f} GB" if amount >= 0.1 * GB else f"{amount / 1e6:.0f} MB"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
