"""One row of the table, and what rows are made of: prompts, the host's nodes, a run of a sampler."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

# Prompts are random numbers, told apart by their seeds. The oracle reads off the text which chunk has which.
POSITIVE, NEGATIVE, SECOND, EMPTY, LONG = 1, 2, 3, 4, 5
TOKENS = {POSITIVE: 7, NEGATIVE: 7, SECOND: 7, EMPTY: 7, LONG: 14}
UNSTEERED = (NEGATIVE, EMPTY)

Patch = Callable[[Any], Any]  # MODEL -> MODEL
Run = Callable[[Any], Tensor]  # MODEL -> latents
Places = Sequence[Any]  # where the oracle stood, see tests/host/conftest.py


def unchanged(model: Any) -> Any:
    """The patch of a row that is not about patches."""
    return model


@dataclass(frozen=True)
class Row:
    """`before` and `after`: what the graph does to the MODEL before and after the Respo node.

    `weights`: how the MODEL differs from the usual small U-Net; `at`: where the oracle adds, "middle" where a patch
    behind Respo's reads h; `proof`: whether the oracle's places show that the row is what its name says; `tolerance`:
    largest difference from the oracle, with the reason; 0 asks for the same bits; `fails`: what does not work yet;
    `slow`: it goes the same way as a row beside it, and only `run.py test --all` runs it.
    """

    section: str
    name: str
    how: str
    run: Run
    before: Patch = unchanged
    after: Patch = unchanged
    weights: Mapping[str, Any] = field(default_factory=dict)
    at: str = "output"
    proof: Callable[[Places], bool] = bool
    tolerance: float = 0.0
    reason: str = ""
    fails: str = ""
    slow: bool = False


def text(seed: int) -> Tensor:
    """What the U-Net's cross-attention gets for a prompt, `[1, T, 16]`."""
    return torch.randn(1, TOKENS[seed], 16, generator=torch.Generator().manual_seed(seed))


def prompt(seed: int, **options: Any) -> list:
    """A CONDITIONING of one prompt."""
    return [[text(seed), options]]


def prompt_of(given: Tensor) -> int:
    """The seed of the prompt that a row of a batch is given; the host repeats short ones to equal lengths."""
    (seed,) = [seed for seed, count in TOKENS.items() if torch.equal(given[:count], text(seed)[0])]
    return seed


def node(name: str, **given: Any) -> Any:
    """Run a node of the host and return its first output. `name`: "SetLatentNoiseMask" or "nodes_sag.SomeClass"."""
    where, _, class_name = name.rpartition(".")
    found = getattr(importlib.import_module(f"comfy_extras.{where}" if where else "nodes"), class_name)
    run = found.execute if hasattr(found, "GET_SCHEMA") else getattr(found(), found.FUNCTION)
    return run(**given)[0]


def patch(name: str, **given: Any) -> Patch:
    """A MODEL patch of the host's, as a function of the MODEL."""
    return lambda model: node(name, model=model, **given)


def latent(count: int = 2, height: int = 16, width: int = 16, full: bool = False) -> dict[str, Tensor]:
    """A LATENT, empty or `full` of a picture."""
    shape = (count, 4, height, width)
    picture = torch.randn(shape, generator=torch.Generator().manual_seed(9))
    return {"samples": picture if full else torch.zeros(shape)}


def ksampler(**changes: Any) -> Run:
    """A run of the host's KSampler; a function among `changes` makes its value when the host is there."""

    def run(model: Any) -> Tensor:
        usual = {"seed": 5, "steps": 3, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        prompts = {"positive": prompt(POSITIVE), "negative": prompt(NEGATIVE), "latent": latent()}
        made = {name: value() if callable(value) else value for name, value in changes.items()}
        return importlib.import_module("nodes").common_ksampler(model, **{**usual, **prompts, **made})[0]["samples"]

    return run


def sizes(places: Places) -> set[tuple[int, int]]:
    """How large h was."""
    return {place.size for place in places}


def calls(places: Places) -> set[tuple[int, ...]]:
    """Which chunks the calls of the U-Net had."""
    return {place.chunks for place in places}
