"""What every objective is: where its latents come from, and which losses they give. `trainer.py` is their loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor

from ..core.module.concept import ConceptModule
from ..latents.sampling import Half
from ..network import Conditioning, SplitUNet
from ..settings.config import TrainConfig

Part = Literal["responsible", "semantic"]


@dataclass(frozen=True)
class Steered:
    """What is steered, and where to: of one prompt, or of a batch with a prompt for each row."""

    neutral: Conditioning
    target: Conditioning  # what the concept asks for; for safety what it shall keep away
    others: tuple[Conditioning, ...]  # the other concepts' targets


@dataclass(frozen=True)
class Prompts(Steered):
    """The encoded prompts of one concept. `people`: who is steered beside the neutral prompt, to their own targets."""

    uncond: Conditioning
    people: tuple[Steered, ...]
    picture: Conditioning  # what pictures of the concept are drawn with, where an objective needs some


@dataclass(frozen=True)
class Setting:
    """All of one concept that does not change while it is trained.

    `rows`: which of the batch's rows this process trains on. `folder`: where an objective may keep what is costly to
    make again (None: nowhere).
    """

    config: TrainConfig
    name: str
    unet: SplitUNet
    prompts: Prompts
    rows: range
    folder: Path | None = None

    @property
    def key(self) -> str:
        """Name of the concept's random numbers: the same whatever else is trained beside it."""
        return f"{self.config.seed} {self.name}"


@dataclass(frozen=True)
class Term:
    """One part's loss at one step; only this part's parameters may receive its gradient."""

    part: Part
    loss: Tensor


class Source(Protocol):
    """Where latents come from. What `tensors` and `numbers` return is all of it that changes."""

    def tensors(self) -> dict[str, Tensor]:
        """Return what has to be saved, first axis: this process's rows."""

    def numbers(self) -> Mapping[str, Any]:
        """Return what has to be saved and is not a tensor: lists, one entry for each of this process's rows."""

    def restore(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Take over what was saved, this process's rows alone."""


@dataclass(frozen=True)
class Objective:
    """`start(setting)` gives the latents' source; `terms(setting, module, source, step)` yields each part's loss.

    `terms` is a generator: the loop runs the backward pass of one loss before it asks for the next, so that only one
    decoder's activations are in memory. `half`: where its modules are added at inference, on the conditional half of
    guidance or on both.
    """

    half: Half
    start: Callable[[Setting], Any]
    terms: Callable[[Setting, ConceptModule, Any, int], Iterator[Term]]
