"""Assign Labels: decide what each picture should show; where pictures are given, change as few of them as possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..respo_train.core.counting.balance import parse_shares
from ..respo_train.core.counting.least_change import least_change
from ..respo_train.core.counting.seats import LEFT, Seats, indices_of
from ..respo_train.core.errors import RespoError
from ..respo_train.core.judge import AnyJudge, look
from .shared import widgets
from .shared.wire import RespoJudge


class AssignLabels(io.ComfyNode):
    """Shares, and pictures that were drawn without Respo -> labels for Balance and for Save Labelled Images."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoAssignLabels",
            display_name="Assign Labels",
            description="Writes one label for each picture, in the shares you ask for. With pictures that the model "
            "drew by itself and a judge, as many as possible keep what they show, and Balance changes the others "
            "alone.",
            inputs=[
                widgets.text(
                    "distribution",
                    "The proportions, e.g. 'woman 1, man 1' for half and half.",
                    default="woman 1, man 1",
                ),
                widgets.seed(
                    "Decides which picture gets which label, or which of the pictures that could change does."
                ),
                widgets.count("How many labels to write. Linked pictures or a linked latent are counted instead."),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="The same pictures, drawn without Balance: same seed, same latent. Needs a judge as well.",
                ),
                RespoJudge.Input("judge", optional=True, tooltip="From Load Judge: it says what the pictures show."),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="The latent that goes to the KSampler: its pictures are counted, and those taken out of a "
                    "larger batch get the labels they have in it. Not used where pictures are linked.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="labels",
                    tooltip="What each picture should show, one per line: for Save Labelled Images and reports.",
                ),
                io.String.Output(
                    display_name="changes",
                    tooltip="The same, with - for each picture that stays as the model draws it: for Balance.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        distribution: str,
        seed: int,
        count: int,
        images: Tensor | None = None,
        judge: AnyJudge | None = None,
        latent: Mapping[str, Any] | None = None,
    ) -> io.NodeOutput:
        """Return the labels and the changes.

        Raises RespoError: unreadable shares, pictures without a judge, concepts that the judge does not know.
        """
        shares = parse_shares(distribution)
        if (images is None) != (judge is None):
            raise RespoError(
                f"expected pictures and a judge, or neither, found the {'judge' if images is None else 'pictures'} "
                "alone. Link both 'images' and 'judge' to keep the pictures that fit already."
            )
        if images is None or judge is None:
            seats = Seats((tuple(sorted(shares.items())),), seed, indices := indices_of(latent))
            labels = changes = [name for (name,) in seats.of(count if indices is None else len(indices))]
        else:
            labels, changes = fewest_changes(images, judge, shares, seed)
        return io.NodeOutput("\n".join(labels), "\n".join(changes), ui=ui.PreviewText(describe(labels, changes)))


def fewest_changes(
    images: Tensor, judge: AnyJudge, shares: Mapping[str, Fraction], seed: int
) -> tuple[list[str], list[str]]:
    """Return each picture's label, and the same with LEFT where the picture shows it already. Raises RespoError."""
    knows = [name for name, classes in judge.classes.items() if set(shares) <= set(classes)]
    if not knows:
        known = "; ".join(f"{name}: {', '.join(classes)}" for name, classes in judge.classes.items())
        raise RespoError(
            f"expected concepts of one attribute that {judge.name} knows ({known}), found {', '.join(shares)[:80]!r}. "
            "Change the distribution, or load another judge."
        )
    seen = look(judge, images, knows[0]).labels
    labels = least_change(seen, shares, seed)
    return labels, [LEFT if now == name else name for now, name in zip(seen, labels, strict=True)]


def describe(labels: Sequence[str], changes: Sequence[str]) -> str:
    """Return the text for the node: "8 pictures: woman 4, man 4", and how many change."""
    counts = ", ".join(f"{name} {count}" for name, count in sorted(Counter(labels).items()))
    stay = changes.count(LEFT)
    first = f"{len(labels)} picture{'s' if len(labels) != 1 else ''}: {counts}"
    return f"{first}\n{stay} stay as they are, {len(labels) - stay} change" if stay else first
