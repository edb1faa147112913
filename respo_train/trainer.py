"""The training loop: all concepts of an attribute, one optimizer step each in turn.

One step costs about 6 U-Net forward equivalents a latent, backward passes included: three encoders (neutral, target,
unconditional), five decoders of which two have gradients; one more for each other concept that a target leads away
from. The unconditional prediction serves target and trajectory, and the semantic student's is the trajectory's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .config import TrainConfig
from .core.concept import ConceptModule
from .core.errors import RespoError
from .network import Conditioning, SplitUNet
from .objectives.respodiff import fairness_target, guided, responsible_loss, semantic_loss
from .trajectory import Trajectories


@dataclass(frozen=True)
class Prompts:
    """The encoded prompts of one concept."""

    neutral: Conditioning
    target: Conditioning
    uncond: Conditioning
    others: tuple[Conditioning, ...]  # the other concepts' targets


@dataclass(frozen=True)
class Losses:
    """One step's losses."""

    responsible: float
    semantic: float


@dataclass
class ConceptState:
    """All that changes while one concept is trained."""

    module: ConceptModule
    responsible_optimizer: torch.optim.Adam
    semantic_optimizer: torch.optim.Adam
    trajectories: Trajectories
    losses: list[Losses] = field(default_factory=list)


@dataclass
class TrainState:
    """All that changes during a run: `step` optimizer steps are done."""

    step: int
    concepts: dict[str, ConceptState]

    def modules(self) -> dict[str, ConceptModule]:
        """The modules as they are now."""
        return {name: state.module for name, state in self.concepts.items()}


# Called after every step; an exception raised in it stops the training.
OnStep = Callable[[TrainState], None]


def train(config: TrainConfig, unet: SplitUNet, on_step: OnStep | None = None) -> TrainState:
    """Train every concept of `config` on `unet`. Same configuration, same machine: same bytes.

    (With a single concept on a CPU: same number of threads, too.) Raises RespoError when a loss stops being finite.
    """
    prompts = encode_prompts(config, unet)
    names = list(config.concepts)
    with _each_on_its_core(len(names), unet) as for_each:
        started = for_each(lambda name: start(config, unet, name, prompts[name]), names)
        state = TrainState(0, dict(zip(names, started, strict=True)))
        while state.step < config.steps:
            losses = for_each(lambda name: train_step(config, unet, name, state.concepts[name], prompts[name]), names)
            for name, loss in zip(names, losses, strict=True):
                _check_finite(name, loss, state.step + 1)
                state.concepts[name].losses.append(loss)
            state.step += 1
            if on_step is not None:
                on_step(state)
    return state


@contextmanager
def _each_on_its_core(concepts: int, unet: SplitUNet) -> Iterator[Callable[..., Iterable[Any]]]:
    """Yield a `map` that runs the concepts, which share nothing but frozen weights, side by side on a CPU.

    One thread each is faster than all threads on each in turn (no thread ever waits for another within an operation,
    which matters most on a busy machine), and the result does not depend on the number of cores.
    """
    if concepts == 1 or unet.alphas_cumprod.device.type != "cpu":
        yield map
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(min(concepts, threads), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


def _check_finite(name: str, losses: Losses, step: int) -> None:
    if not math.isfinite(losses.responsible + losses.semantic):
        raise RespoError(
            f"the loss of {name!r} became {losses.responsible} / {losses.semantic} at step {step}; "
            "lower responsible_lr and semantic_lr."
        )


def encode_prompts(config: TrainConfig, unet: SplitUNet) -> dict[str, Prompts]:
    """Encode the prompts of every concept; each text once."""
    targets = [concept.target for concept in config.concepts.values()]
    uncond, neutral, *encoded = unet.encode_prompts(["", config.neutral, *targets])
    prompts = {}
    for index, name in enumerate(config.concepts):
        others = (*encoded[:index], *encoded[index + 1 :])
        prompts[name] = Prompts(neutral, encoded[index], uncond, others)
    return prompts


def start(config: TrainConfig, unet: SplitUNet, name: str, prompts: Prompts) -> ConceptState:
    """Return a concept's state before the first step: a module without effect, staggered trajectories."""
    key = f"{config.seed} {name}"
    trajectories = Trajectories.start(
        key, unet.alphas_cumprod, config.trajectory_steps, config.batch, unet.latent_shape
    )
    h = unet.encoder(trajectories.latents[:1], trajectories.current_timesteps[:1], prompts.neutral).h
    module = ConceptModule(h.shape[1], h.shape[2], h.shape[3], config.kind, config.rank).to(h.device)

    def predict(latents: Tensor, timesteps: Tensor) -> Tensor:
        uncond = _predict(unet, latents, timesteps, prompts.uncond)
        return guided(uncond, _predict(unet, latents, timesteps, prompts.neutral), config.trajectory_guidance)

    trajectories.stagger(predict)
    return ConceptState(
        module,
        torch.optim.Adam(module.responsible.parameters(), lr=config.of(name, "responsible_lr")),
        torch.optim.Adam(module.semantic.parameters(), lr=config.of(name, "semantic_lr")),
        trajectories,
    )


def train_step(config: TrainConfig, unet: SplitUNet, name: str, state: ConceptState, prompts: Prompts) -> Losses:
    """Take one optimizer step with both parts of one concept and advance its trajectories by one DDIM step."""
    latents, timesteps = state.trajectories.latents, state.trajectories.current_timesteps
    neutral = unet.encoder(latents, timesteps, prompts.neutral)
    plain = unet.decoder(neutral, neutral.h)
    uncond = _predict(unet, latents, timesteps, prompts.uncond)
    origin = away = uncond if config.target_from == "unconditional" else plain
    if config.target_from == "others":
        away = torch.stack([_predict(unet, latents, timesteps, other) for other in prompts.others]).mean(0)
    towards = _predict(unet, latents, timesteps, prompts.target)
    target = fairness_target(origin, towards, away, config.of(name, "target_guidance"))

    size = neutral.h.shape[2], neutral.h.shape[3]
    responsible = state.module.responsible.resized(*size)
    student = unet.decoder(neutral, neutral.h + responsible.to(neutral.h))
    loss = responsible_loss(student, target)
    _gradient(state.responsible_optimizer, loss)

    both = responsible.detach() + state.module.semantic.resized(*size)
    student = unet.decoder(neutral, neutral.h + both.to(neutral.h))
    loss_semantic = semantic_loss(student, plain, config.semantic_weight)
    _gradient(state.semantic_optimizer, loss_semantic)

    state.responsible_optimizer.step()
    state.semantic_optimizer.step()
    state.trajectories.advance(guided(uncond, student.detach(), config.trajectory_guidance))
    return Losses(loss.item(), loss_semantic.item())


def _predict(unet: SplitUNet, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
    encoded = unet.encoder(latents, timesteps, conditioning)
    return unet.decoder(encoded, encoded.h)


def _gradient(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    # Only the optimizer's own parameters: the U-Net is frozen and the other part detached.
    optimizer.zero_grad()
    loss.backward()
