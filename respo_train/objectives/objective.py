"""The interface of every objective: where its latents come from, and its losses. `trainer.py` is their loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor

from ..core.module.concept import ConceptModule
from ..latents.sampling import Half
from ..network import Conditioning, SplitNetwork
from ..settings.config import TrainConfig

Part = Literal["responsible", "semantic"]


@dataclass(frozen=True)
class Steered:
    """Embeddings of a neutral prompt, its target and other concepts: for one prompt, or one row per latent."""

    neutral: Conditioning
    target: Conditioning  # the prompt to steer to; for safety the one to steer away from
    others: tuple[Conditioning, ...]  # the other concepts' targets


@dataclass(frozen=True)
class Prompts(Steered):
    """The encoded prompts of one concept. `people`: further prompts that are steered, each to its own target."""

    uncond: Conditioning
    people: tuple[Steered, ...]
    picture: Conditioning  # the prompt for pictures of the concept, where an objective needs some


@dataclass(frozen=True)
class Setting:
    """Everything about one concept that does not change during training.

    `rows`: the rows of the batch that this process trains on. `folder`: where an objective may cache what is slow to
    compute; None for no cache.
    """

    config: TrainConfig
    name: str
    unet: SplitNetwork
    prompts: Prompts
    rows: range
    folder: Path | None = None

    @property
    def key(self) -> str:
        """Key of the concept's random numbers. It does not depend on the other concepts trained with it."""
        return f"{self.config.seed} {self.name}"


@dataclass(frozen=True)
class Term:
    """One part's loss at one step. Only this part's parameters receive its gradient."""

    part: Part
    loss: Tensor


class Source(Protocol):
    """Where training latents come from. All of its changing state is in `tensors` and `numbers`."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors to save. Their first axis is this process's rows."""

    def numbers(self) -> Mapping[str, Any]:
        """Return what else to save: lists with one entry for each of this process's rows."""

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Restore what was saved, for this process's rows."""


@dataclass(frozen=True)
class Objective:
    """`start(setting)` returns the source of latents; `terms(setting, module, source, step)` yields each part's loss.

    `terms` is a generator: the loop runs the backward pass of one loss before it requests the next, so that only one
    decoder's activations are in memory. `name`: what presets and recipes call it. `half`: whether its modules are added
    on the conditional half of guidance or on both halves at inference.
    """

    name: str
    half: Half
    start: Callable[[Setting], Any]
    terms: Callable[[Setting, ConceptModule, Any, int], Iterator[Term]]
