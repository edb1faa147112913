"""Balance: give each picture of a batch one concept of an attribute, in exact shares.

The concept of picture i under seed s is a pure function of s + i (respo_train.core.balance): no state, and the labels
are known before anything is sampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from comfy_api.latest import io, ui

from ..respo_train.core.attribute import Attribute
from ..respo_train.core.balance import assign, parse_shares
from . import widgets
from .edits import ModuleEdit
from .guard import check_fit
from .patching import sigma_range, with_edits
from .wire import LoadedModule, RespoModule


@dataclass(frozen=True)
class Seats:
    """Which pictures of a batch get `concept`. `shares`: (concept, share), sorted, so that equal seats look equal."""

    seed: int
    shares: tuple[tuple[str, Fraction], ...]
    concept: str

    def __call__(self, count: int) -> list[bool]:
        """One flag for each of `count` pictures."""
        return [label == self.concept for label in assign(self.seed, count, dict(self.shares))]


class Balance(io.ComfyNode):
    """MODEL -> MODEL whose batches hold the attribute's concepts in the wanted shares, and the labels."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Ids and their order are forever: saved workflows store widget values by position."""
        return io.Schema(
            node_id="RespoBalance",
            display_name="Balance",
            category="Respo",
            description="Gives each picture of a batch one concept of a module (one a woman, the next a man …), so "
            "that the batch comes out in the shares you ask for.",
            inputs=[
                io.Model.Input("model", tooltip="The model to balance: the one that the module was made for."),
                RespoModule.Input("module", tooltip="From Load Module."),
                io.String.Input(
                    "distribution",
                    default="",
                    tooltip="How many of each, e.g. 'woman 1, man 1' for half and half or 'woman 3, man 1'. Leave it "
                    "empty for equal shares of everything in the module.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Which picture gets which concept. Link the same seed to the KSampler, and any run of "
                    "consecutive seeds is balanced as well, even with one picture at a time.",
                ),
                io.Int.Input(
                    "count",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="How many pictures to write labels for: the batch size of your Empty Latent. It does not "
                    "change the pictures.",
                ),
                widgets.strength(),
                widgets.fidelity(),
                widgets.start_percent(),
                widgets.end_percent(),
                widgets.enabled(),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The balanced model, for a KSampler."),
                io.String.Output(
                    display_name="labels",
                    tooltip="The concept of each picture, one a line, in the order of the batch. Empty when off.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        module: LoadedModule,
        distribution: str,
        seed: int,
        count: int,
        strength: float,
        fidelity: float,
        start_percent: float,
        end_percent: float,
        enabled: bool,
    ) -> io.NodeOutput:
        """Raises RespoError: shares that cannot be read, unknown concept, another architecture, no middle block."""
        if widgets.is_off(enabled, strength, start_percent, end_percent):
            return io.NodeOutput(model, "", ui=ui.PreviewText("Off: the model is passed on untouched."))
        shares = shares_of(module.attribute, distribution)
        note = check_fit(model, module)
        sigmas = sigma_range(model, start_percent, end_percent)
        edits = [
            ModuleEdit(
                sha256=module.sha256,
                concept=concept,
                strength=strength,
                fidelity=fidelity,
                sigmas=sigmas,
                half="conditional",
                delta=partial(module.attribute.concept(concept).delta, strength=strength, fidelity=fidelity),
                images=Seats(seed, tuple(sorted(shares.items())), concept),
                file=module.file,
            )
            for concept, share in shares.items()
            if share > 0
        ]
        labels = assign(seed, count, shares)
        text = f"{describe(labels, shares)}\n{note}".strip()
        return io.NodeOutput(with_edits(model, edits), "\n".join(labels), ui=ui.PreviewText(text))


def shares_of(attribute: Attribute, distribution: str) -> Mapping[str, Fraction]:
    """Read the distribution, uniform when empty. Raises UnknownConcept for a name that the attribute lacks."""
    if not distribution.strip():
        return {name: Fraction(1, len(attribute.concepts)) for name in attribute.concepts}
    shares = parse_shares(distribution)
    for name in shares:
        attribute.concept(name)
    return shares


def describe(labels: list[str], names: Iterable[str]) -> str:
    """Counts for the node's face, in the order of the shares: "8 pictures: woman 4, man 4"."""
    counts = ", ".join(f"{name} {labels.count(name)}" for name in names)
    return f"{len(labels)} picture{'s' if len(labels) != 1 else ''}: {counts}"
