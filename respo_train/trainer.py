"""The training loop that all objectives share: one optimizer step for each concept of an attribute, in turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .core.errors import RespoError
from .core.module.architecture import Architecture
from .core.module.concept import ConceptModule
from .latents.randomness import keyed_noise
from .memory import OutOfMemory, first_line, ran_out
from .network import SplitNetwork
from .objectives import OBJECTIVES
from .objectives.objective import Setting, Source
from .optimizer import optimizer_of
from .prompts import encode_prompts
from .settings.config import TrainConfig
from .team import ALONE, Team

MOST_TOKENS = 4  # rows and columns of a module's grid on a transformer, unless a training says otherwise


class NotFinite(RespoError):
    """A loss or gradient is no longer finite. The modules are as they were before that step."""


@dataclass(frozen=True)
class Losses:
    """The losses of one step."""

    responsible: float
    semantic: float


@dataclass
class ConceptState:
    """Everything that changes while one concept is trained."""

    module: ConceptModule
    optimizers: dict[str, torch.optim.Optimizer]  # by part
    source: Source
    losses: list[Losses] = field(default_factory=list)


@dataclass
class TrainState:
    """Everything that changes during a run, after `step` optimizer steps."""

    step: int
    concepts: dict[str, ConceptState]

    def modules(self) -> dict[str, ConceptModule]:
        """Return the current modules."""
        return {name: state.module for name, state in self.concepts.items()}


# Called after every step; an exception raised in it stops the training.
OnStep = Callable[[TrainState], None]
# Called once before the first step; may restore a saved state.
Restore = Callable[[TrainState], None]


def settings_of(
    config: TrainConfig, unet: SplitNetwork, team: Team = ALONE, folder: Path | None = None
) -> dict[str, Setting]:
    """Return the fixed setting of each concept's training."""
    prompts = encode_prompts(config, unet)
    rows = team.rows(config.batch)
    return {name: Setting(config, name, unet, prompts[name], rows, folder) for name in config.concepts}


def train(
    config: TrainConfig,
    unet: SplitNetwork,
    on_step: OnStep | None = None,
    restore: Restore | None = None,
    team: Team = ALONE,
    folder: Path | None = None,
) -> TrainState:
    """Train every concept of `config` on `unet`. On a CPU equal configurations give equal bytes.

    (With a single concept this also needs the same number of threads.) A GPU's kernels are not asked to be
    deterministic: there the last digits differ from run to run. Raises NotFinite when a loss or
    gradient stops being finite, and OutOfMemory; then the state is that of the last complete step.
    """
    settings = settings_of(config, unet, team, folder)
    names = list(settings)
    with each_on_its_core(len(names), unet) as for_each:
        started = for_each(lambda name: start(settings[name]), names)
        state = TrainState(0, dict(zip(names, started, strict=True)))
        if restore is not None:
            restore(state)
        while state.step < config.steps:
            with _unchanged_without_memory(state):
                losses = for_each(lambda name: gradients(settings[name], state.concepts[name], state.step), names)
                for name, loss in zip(names, losses, strict=True):
                    _share(settings[name], state.concepts[name], loss, team, state.step + 1)
            for concept in state.concepts.values():
                for optimizer in concept.optimizers.values():
                    optimizer.step()
            state.step += 1
            if on_step is not None:
                on_step(state)
    return state


@contextmanager
def _unchanged_without_memory(state: TrainState) -> Iterator[None]:
    """Undo what a step has done to `state` when memory runs out in the middle of it. Raises OutOfMemory."""
    before = {}
    for name, own in state.concepts.items():
        tensors = {key: value.clone() for key, value in own.source.tensors().items()}  # small: latents
        before[name] = tensors, own.source.numbers(), len(own.losses)
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        for name, (tensors, numbers, losses) in before.items():
            state.concepts[name].source.restore(tensors, numbers)
            del state.concepts[name].losses[losses:]
        raise OutOfMemory(f"out of memory in step {state.step + 1} ({first_line(error)}).") from error


@contextmanager
def each_on_its_core(concepts: int, unet: SplitNetwork) -> Iterator[Callable[..., Iterable[Any]]]:
    """Yield a `map` that trains the concepts in parallel threads on a CPU; they share nothing but frozen weights.

    One thread per concept is faster than all threads on one concept at a time: no thread waits for another within an
    operation, which matters most on a busy machine. The result does not depend on the number of cores.
    """
    if concepts == 1 or unet.alphas_cumprod.device.type != "cpu":
        yield map
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(min(concepts, threads), initializer=torch.set_num_threads, initargs=(1,)) as pool:

            def for_each(work: Callable[[str], Any], names: Iterable[str]) -> list[Any]:
                running = [pool.submit(work, name) for name in names]
                wait(running)  # also when one fails: then no other is still changing its state
                return [each.result() for each in running]

            yield for_each
    finally:
        torch.set_num_threads(threads)


def default_grid(h: Tensor, architecture: Architecture) -> tuple[int, int]:
    """Return height and width of a module's grid for h `[B, C, H, W]`: its own, on a transformer at most MOST_TOKENS.

    A U-Net's h is small at any size of the network. A transformer has a token for every patch: at 1,024 pixels a grid
    of Z-Image's tokens would be 63 MB for each part of each concept. On Emoji World's transformer 4 x 4 places are as
    good as 8 x 8.
    """
    height, width = h.shape[2:]
    return (min(height, MOST_TOKENS), min(width, MOST_TOKENS)) if architecture.block else (height, width)


def start(setting: Setting) -> ConceptState:
    """Return a concept's state before the first step: a module without effect, and its source of latents."""
    config, unet = setting.config, setting.unet
    # Only needed for the size of h.
    latents = keyed_noise(unet.latent_shape, setting.key)[None].to(unet.alphas_cumprod)
    h = unet.encoder(latents, latents.new_zeros(1, dtype=torch.long), setting.prompts.neutral).h
    height, width = config.grid or default_grid(h, unet.architecture)
    module = ConceptModule(h.shape[1], height, width, config.kind, config.rank, config.map_width)
    if h.device.type != "cpu":  # tensors without numbers (plan/count.py) cannot be moved
        module.to(h.device)
    rates = {
        "responsible": config.of(setting.name, "responsible_lr"),
        "semantic": config.of(setting.name, "semantic_lr"),
        "map": config.map_lr,
    }
    optimizers = {key: optimizer_of(config, part.parameters(), rates[key]) for key, part in module.named_children()}
    return ConceptState(module, optimizers, OBJECTIVES[config.objective].start(setting))


def gradients(setting: Setting, state: ConceptState, step: int) -> dict[str, float]:
    """Run one concept's network passes of one step. Leaves the gradients in its parameters; returns the losses."""
    for optimizer in state.optimizers.values():
        optimizer.zero_grad()
    losses = {"responsible": 0.0, "semantic": 0.0}
    terms = OBJECTIVES[setting.config.objective].terms(setting, state.module, state.source, step)
    for term in terms:
        # Only this part's parameters: the U-Net is frozen, and the other part is detached.
        term.loss.backward()
        losses[term.part] += term.loss.item()
    return losses


def _share(setting: Setting, state: ConceptState, losses: dict[str, float], team: Team, step: int) -> None:
    """Average losses and gradients over all processes, record the losses, clip the gradients. Raises NotFinite."""
    grads = [parameter.grad for parameter in state.module.parameters() if parameter.grad is not None]
    values = torch.tensor([losses["responsible"], losses["semantic"]], dtype=torch.float64)
    team.average([*grads, values])
    mean = Losses(*values.tolist())
    norms = torch.stack([grad.norm() for grad in grads]) if grads else torch.zeros(1)
    if not (math.isfinite(mean.responsible + mean.semantic) and bool(norms.isfinite().all())):
        raise NotFinite(
            f"the loss of {setting.name!r} became {mean.responsible} / {mean.semantic} at step {step}, or its "
            "gradient is not finite. The modules are kept as they were before; lower responsible_lr and semantic_lr."
        )
    state.losses.append(mean)
    if setting.config.clip is not None:
        for part in state.module.children():
            torch.nn.utils.clip_grad_norm_(part.parameters(), setting.config.clip)
