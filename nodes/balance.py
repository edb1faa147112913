"""Balance: give each picture of a batch one concept of each attribute, in exact shares.

The concept of picture i under seed s is a pure function of s + i (respo_train.core.counting.joint). So there is no
state, and the labels are known before sampling starts. The seed is the node's own or the sampler's; or the labels are
given, one for each picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from comfy_api.latest import io

from ..respo_train.core.counting.balance import parse_shares
from ..respo_train.core.counting.seats import LEFT, Given, Seats, as_labels, indices_of, parse_given, shares_given
from ..respo_train.core.errors import RespoError
from ..respo_train.core.gate.is_open import probe_of
from ..respo_train.core.module.attribute import Attribute
from .shared import widgets
from .shared.guard import check_fit, require_allowed
from .shared.wire import LoadedModule, RespoModule
from .steering.edits import ModuleEdit, PicturesWithConcept
from .steering.patching import sigma_range, with_edits

SEED_FROM = ("this node", "the sampler")
ADVANCED = (
    *("fidelity", "start_percent", "end_percent", "enabled", "only_open_prompts", "seed_from", "labels"),
    *("scale", "distribution_2", "scale_2", "distribution_3", "scale_3"),
)


@dataclass(frozen=True)
class BalancedAttribute:
    """One attribute to balance. `strength`: the node's strength times the attribute's scale."""

    module: LoadedModule
    shares: Mapping[str, Fraction]
    strength: float


class Balance(io.ComfyNode):
    """MODEL -> MODEL that gives each picture of a batch a concept of each attribute, in exact shares; and labels."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoBalance",
            display_name="Balance",
            advanced=ADVANCED,
            description="Gives each picture of a batch one concept of a module (one a woman, the next a man …), so "
            "that the batch comes out in the shares you ask for.",
            inputs=[
                io.Model.Input("model", tooltip="The model to balance: the one that the module was made for."),
                RespoModule.Input("module", tooltip="From Load Module."),
                widgets.text(
                    "distribution",
                    "The proportions, e.g. 'woman 1, man 1' for half and half or 'woman 3, man 1' for three "
                    "to one. Leave it empty for equal shares of every concept in the module.",
                ),
                widgets.seed(
                    "Decides which picture gets which concept. If you link the same seed to the KSampler, "
                    "consecutive seeds stay balanced too, even when you draw one picture at a time."
                ),
                widgets.count(
                    "How many pictures to write labels for: the batch size of your Empty Latent. It does not "
                    "change the pictures."
                ),
                widgets.strength(),
                widgets.fidelity(),
                *widgets.span(),
                widgets.enabled(),
                *_second_and_third(),
                *_seed_from_and_labels(),
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
        seed_from: str = SEED_FROM[0],
        labels: str = "",
    ) -> io.NodeOutput:
        """Return the steered model and each picture's label; the very same model when the node is off.

        Raises RespoError: unreadable shares or labels, unknown or repeated concepts, wrong architecture, no
        middle block.
        """
        asked = [
            (module, distribution, scale),
            (module_2, distribution_2, scale_2),
            (module_3, distribution_3, scale_3),
        ]
        linked = [(own, text, by * strength) for own, text, by in asked if own is not None and by != 0]
        if widgets.is_off(enabled, strength, start_percent, end_percent) or not linked:
            return widgets.off(model, "")
        given = parse_given(labels, [own.attribute.concepts for own, _, _ in linked]) if labels.strip() else None
        balanced = [
            BalancedAttribute(own, shares_of(own.attribute, text) if given is None else shares_given(given, place), by)
            for place, (own, text, by) in enumerate(linked)
        ]
        require_different(balanced)
        notes = []
        for one in balanced:
            require_allowed(one.module, one.strength)
            notes.append(check_fit(model, one.module))
        indices = indices_of(latent)
        shares = tuple(tuple(sorted(one.shares.items())) for one in balanced)
        seats = Seats(shares, None if seed_from == SEED_FROM[1] else seed, indices, given)
        sigmas = sigma_range(model, start_percent, end_percent)
        rows = seats.of(len(indices if indices is not None else given or range(count)), seed)
        edits = edits_of(balanced, seats, len(rows), fidelity, sigmas, only_open_prompts)
        notes += [note_on_seed(seed) if seats.follows else note_on_indices(indices, rows)]
        text = "\n".join([describe(rows, balanced), *dict.fromkeys(filter(None, notes))])
        shown = {"text": (text,), "respo_counts": [[*count.items()] for count in counts_of(rows, balanced)]}
        return io.NodeOutput(with_edits(model, edits), as_labels(rows), ui=shown)


def _second_and_third() -> list[io.Input]:
    """Return the inputs added after the first release: optional, so that older saved prompts still run."""
    scale = "Multiplies strength for this attribute alone. 0 leaves it out."
    inputs: list[io.Input] = [widgets.number("scale", 1.0, scale, (0.0, 5.0, 0.05), optional=True)]
    for number, which in ((2, "second"), (3, "third")):
        inputs += [
            RespoModule.Input(
                f"module_{number}",
                optional=True,
                tooltip=f"A {which} attribute to balance at the same time, e.g. skin tone: all combinations come out "
                "in the shares you ask for.",
            ),
            widgets.text(
                f"distribution_{number}",
                f"The proportions of the {which} module's concepts. Empty means equal shares.",
                optional=True,
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


def _seed_from_and_labels() -> list[io.Input]:
    """Return two more inputs that were added later."""
    seed_from = widgets.choice(
        "seed_from",
        SEED_FROM,
        "the sampler: each run takes the noise seed of its own sampler, so that a detailer, an XY plot and a "
        "queue give every picture the concept of its seed. Labels are then right if the sampler has this node's seed.",
        optional=True,
    )
    # A widget: a mere socket would stand before all widgets, and the subgraphs that people saved count their slots.
    labels = widgets.text(
        "labels",
        "What each picture gets, in place of distribution and seed: link them from Assign Labels or another "
        "Balance, or write 'woman; man; -'. With - a picture stays as the model draws it. Empty: by distribution.",
        optional=True,
    )
    return [seed_from, labels]


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


def edits_of(
    balanced: Sequence[BalancedAttribute],
    seats: Seats,
    told: int,
    fidelity: float,
    sigmas: tuple[float, float],
    only_open_prompts: bool,
) -> list[ModuleEdit]:
    """Return one edit for each concept with a share above 0, over all attributes; `told`: how many pictures."""
    probes = [probe_of(one.module.attribute) if only_open_prompts else None for one in balanced]
    return [
        ModuleEdit.of(
            one.module,
            concept,
            one.strength,
            fidelity=fidelity,
            sigmas=sigmas,
            guidance=one.module.guidance_in_batches,
            images=PicturesWithConcept(seats, place, concept, told),
            probe=probes[place],
        )
        for place, one in enumerate(balanced)
        for concept, share in one.shares.items()
        if share > 0
    ]


def note_on_seed(seed: int) -> str:
    """Return what to know about the labels of a node that follows the sampler's seed."""
    return f"Follows the sampler's seed. The labels are those of seed {seed}: link the same seed to the sampler."


def note_on_indices(indices: tuple[int, ...] | None, rows: Sequence[Given]) -> str:
    """Return a note when all pictures have the same place in their batch, and so the same concepts; otherwise ""."""
    if indices is None or len(indices) < 2 or len(set(indices)) > 1 or len(set(rows)) > 1:
        return ""
    return (
        f"Note: all {len(indices)} pictures have the batch index {indices[0]} (a batch seed that is 'fixed', or a "
        "repeated picture), so all get the same. Link labels, or leave the latent unlinked."
    )


def describe(rows: Sequence[Given], balanced: Sequence[BalancedAttribute]) -> str:
    """Return the text for the node, one line of counts per attribute: "8 pictures: woman 4, man 4"."""
    lines = [", ".join(f"{name} {count}" for name, count in own.items()) for own in counts_of(rows, balanced)]
    left = sum(set(row) == {LEFT} for row in rows)
    more = [f"{left} left as the model draws them"] if left else []
    return f"{len(rows)} picture{'s' if len(rows) != 1 else ''}: " + "\n".join(filter(None, [*lines, *more]))


def counts_of(rows: Sequence[Given], balanced: Sequence[BalancedAttribute]) -> list[dict[str, int]]:
    """Return how many pictures get each concept: one dictionary per attribute, in the order of its shares."""
    found = [Counter(names) for names in zip(*rows, strict=True)]
    return [{name: count[name] for name in one.shares} for count, one in zip(found, balanced, strict=True)]
