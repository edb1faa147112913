"""Balance: give each picture of a batch one concept of each attribute, in exact shares.

The concept of picture i under seed s is a pure function of s + i (respo_train.core.counting.joint). So there is no
state, and the labels are known before sampling starts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from comfy_api.latest import io, ui

from ..respo_train.core.counting.balance import parse_shares
from ..respo_train.core.counting.joint import Combination, Shares, assign_jointly
from ..respo_train.core.errors import RespoError
from ..respo_train.core.gate.is_open import probe_of
from ..respo_train.core.module.attribute import Attribute
from .shared import widgets
from .shared.guard import check_fit, require_allowed
from .shared.wire import LoadedModule, RespoModule
from .steering.edits import ModuleEdit
from .steering.patching import sigma_range, with_edits


@dataclass(frozen=True)
class BalancedAttribute:
    """One attribute to balance. `strength`: the node's strength times the attribute's scale."""

    module: LoadedModule
    shares: Mapping[str, Fraction]
    strength: float


@dataclass(frozen=True)
class PicturesWithConcept:
    """Callable that says which pictures of a batch get `concept` of the attribute at index `place`.

    `shares`: the (concept, share) pairs of each attribute, sorted so that equal assignments compare equal. `indices`:
    each picture's index in the batch that it was taken from; None for a whole batch, 0 … count - 1.
    """

    seed: int
    shares: tuple[Shares, ...]
    place: int
    concept: str
    indices: tuple[int, ...] | None = None

    def __call__(self, count: int) -> list[bool]:
        """Return one flag for each of `count` pictures."""
        # The batch size differs from the linked latent's, so its indices do not apply: use 0 … count - 1.
        indices = self.indices if self.indices is not None and len(self.indices) == count else range(count)
        combinations = assign_jointly(self.seed, indices, [dict(shares) for shares in self.shares])
        return [combination[self.place] == self.concept for combination in combinations]


class Balance(io.ComfyNode):
    """MODEL -> MODEL that gives each picture of a batch a concept of each attribute, in exact shares; and labels."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Ids and their order must never change: saved workflows store widget values by position."""
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
                    tooltip="The proportions, e.g. 'woman 1, man 1' for half and half or 'woman 3, man 1' for three "
                    "to one. Leave it empty for equal shares of every concept in the module.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Decides which picture gets which concept. If you link the same seed to the KSampler, "
                    "consecutive seeds stay balanced too, even when you draw one picture at a time.",
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
                *_second_and_third(),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The balanced model, for a KSampler."),
                io.String.Output(
                    display_name="labels",
                    tooltip="The concept that each picture was given, one per line, in batch order. Empty when off.",
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
        scale: float = 1.0,
        module_2: LoadedModule | None = None,
        distribution_2: str = "",
        scale_2: float = 1.0,
        module_3: LoadedModule | None = None,
        distribution_3: str = "",
        scale_3: float = 1.0,
        latent: Mapping[str, Any] | None = None,
        only_open_prompts: bool = True,
    ) -> io.NodeOutput:
        """Return the steered model and each picture's label; the very same model when the node is off.

        Raises RespoError: unreadable shares, unknown or repeated concepts, wrong architecture, no middle block.
        """
        asked = [
            (module, distribution, scale),
            (module_2, distribution_2, scale_2),
            (module_3, distribution_3, scale_3),
        ]
        linked = [(own, text, by * strength) for own, text, by in asked if own is not None and by != 0]
        if widgets.is_off(enabled, strength, start_percent, end_percent) or not linked:
            return io.NodeOutput(model, "", ui=ui.PreviewText("Off: the model is passed on untouched."))
        balanced = [BalancedAttribute(own, shares_of(own.attribute, text), by) for own, text, by in linked]
        require_different(balanced)
        notes = []
        for one in balanced:
            require_allowed(one.module, one.strength)
            notes.append(check_fit(model, one.module))
        indices = indices_of(latent)
        sigmas = sigma_range(model, start_percent, end_percent)
        edits = edits_of(balanced, seed, indices, fidelity, sigmas, only_open_prompts)
        numbers = range(count) if indices is None else indices
        combinations = assign_jointly(seed, numbers, [one.shares for one in balanced])
        text = "\n".join([describe(combinations, balanced), *dict.fromkeys(filter(None, notes))])
        labels = "\n".join(", ".join(combination) for combination in combinations)
        shown = {"text": (text,), "respo_counts": [[*count.items()] for count in counts_of(combinations, balanced)]}
        return io.NodeOutput(with_edits(model, edits), labels, ui=shown)


def _second_and_third() -> list[io.Input]:
    """Return the inputs added after the first release: optional, so that older saved prompts still run."""
    scale = "Multiplies strength for this attribute alone. 0 leaves it out."
    inputs: list[io.Input] = [
        io.Float.Input("scale", default=1.0, min=0.0, max=5.0, step=0.05, optional=True, tooltip=scale)
    ]
    for number, which in ((2, "second"), (3, "third")):
        inputs += [
            RespoModule.Input(
                f"module_{number}",
                optional=True,
                tooltip=f"A {which} attribute to balance at the same time, e.g. skin tone: all combinations come out "
                "in the shares you ask for.",
            ),
            io.String.Input(
                f"distribution_{number}",
                default="",
                optional=True,
                tooltip=f"The proportions of the {which} module's concepts. Empty means equal shares.",
            ),
            io.Float.Input(f"scale_{number}", default=1.0, min=0.0, max=5.0, step=0.05, optional=True, tooltip=scale),
        ]
    latent = io.Latent.Input(
        "latent",
        optional=True,
        tooltip="The latent that goes to the KSampler. Its batch size is then used in place of count, and pictures "
        "taken out of a larger batch keep the concepts they had in it.",
    )
    only_open = io.Boolean.Input(
        "only_open_prompts",
        default=True,
        optional=True,
        label_on="yes",
        label_off="no",
        tooltip="Leave a prompt alone when it has no person in it, or already says who the person is ('a woman "
        "doctor'). A module that was trained with a probe recognises this in the encoded prompt, by the words that it "
        "was trained with; other modules change every prompt.",
    )
    return [*inputs, latent, only_open]


def shares_of(attribute: Attribute, distribution: str) -> Mapping[str, Fraction]:
    """Parse the distribution; equal shares when it is empty. Raises UnknownConcept for a name the attribute lacks."""
    if not distribution.strip():
        return {name: Fraction(1, len(attribute.concepts)) for name in attribute.concepts}
    shares = parse_shares(distribution)
    for name in shares:
        attribute.concept(name)
    return shares


def require_different(balanced: Sequence[BalancedAttribute]) -> None:
    """Raise RespoError when two modules balance the same concept: their shares would contradict each other."""
    names = Counter(name for one in balanced for name in one.shares)
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise RespoError(
            f"expected different concepts in each of the modules, found {twice[0]!r} twice. Link another module, or "
            "list in each distribution only the concepts to use."
        )


def indices_of(latent: Mapping[str, Any] | None) -> tuple[int, ...] | None:
    """Return the batch index of each picture; None when no latent is linked.

    For pictures taken out of a batch (Latent From Batch), the host keeps "batch_index" so that they get the same noise
    as in the full batch. They keep their concept in the same way.
    """
    if latent is None:
        return None
    count = len(latent["samples"])
    known = latent.get("batch_index")
    return tuple(known) if known is not None and len(known) == count else tuple(range(count))


def edits_of(
    balanced: Sequence[BalancedAttribute],
    seed: int,
    indices: tuple[int, ...] | None,
    fidelity: float,
    sigmas: tuple[float, float],
    only_open_prompts: bool,
) -> list[ModuleEdit]:
    """Return one edit for each concept with a share above 0, over all attributes."""
    probes = [probe_of(one.module.attribute) if only_open_prompts else None for one in balanced]
    shares = tuple(tuple(sorted(one.shares.items())) for one in balanced)
    return [
        ModuleEdit(
            sha256=one.module.sha256,
            concept=concept,
            strength=one.strength,
            fidelity=fidelity,
            sigmas=sigmas,
            guidance="conditional",
            module=one.module.attribute.concept(concept),
            images=PicturesWithConcept(seed, shares, place, concept, indices),
            probed=probes[place] is not None,
            probe=probes[place],
            file=one.module.file,
        )
        for place, one in enumerate(balanced)
        for concept, share in one.shares.items()
        if share > 0
    ]


def describe(combinations: Sequence[Combination], balanced: Sequence[BalancedAttribute]) -> str:
    """Return the text for the node, one line of counts per attribute: "8 pictures: woman 4, man 4"."""
    lines = [", ".join(f"{name} {count}" for name, count in own.items()) for own in counts_of(combinations, balanced)]
    return f"{len(combinations)} picture{'s' if len(combinations) != 1 else ''}: " + "\n".join(lines)


def counts_of(combinations: Sequence[Combination], balanced: Sequence[BalancedAttribute]) -> list[dict[str, int]]:
    """Return how many pictures get each concept: one dictionary per attribute, in the order of its shares."""
    found = [Counter(names) for names in zip(*combinations, strict=True)]
    return [{name: count[name] for name in one.shares} for count, one in zip(found, balanced, strict=True)]
