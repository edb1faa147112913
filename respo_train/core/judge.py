"""What every judge of pictures offers. The judges themselves are in `respo_train/judges/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from .errors import RespoError
from .pictures.compare import colours

UNSURE = "unsure"
NOBODY = "nobody"
SAFE, UNSAFE = "no", "yes"  # an attribute with these two classes asks whether something unwanted is there
_AT_ONCE = 16  # pictures that are turned into numbers at the same time


@dataclass(frozen=True)
class Verdict:
    """One attribute of a batch: a class name or UNSURE, and the winning class's probability, for each picture.

    `probabilities`: those of all classes, in their order.
    """

    labels: tuple[str, ...]
    confidence: tuple[float, ...]
    probabilities: tuple[tuple[float, ...], ...] = ()


@runtime_checkable
class AnyJudge(Protocol):
    """What every judge offers. `name`: for people; `classes`: attribute -> class names."""

    name: str
    classes: Mapping[str, tuple[str, ...]]

    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:
        """`[B, 3, H, W]` in 0 … 1 -> one Verdict per attribute."""
        ...


def decide(classes: Sequence[str], probabilities: Tensor, thresholds: Sequence[float]) -> Verdict:
    """Name the likeliest class of each picture, UNSURE where its probability is below that class's threshold.

    `probabilities`: `[B, classes]`; `thresholds`: one for each class.
    """
    confidence, winner = probabilities.max(-1)
    labels = tuple(
        classes[w] if p >= thresholds[w] else UNSURE for w, p in zip(winner.tolist(), confidence.tolist(), strict=True)
    )
    return Verdict(labels, tuple(confidence.tolist()), tuple(map(tuple, probabilities.tolist())))


def look(judge: AnyJudge, images: Tensor, attribute: str) -> Verdict:
    """Return what `judge` says of pictures `[B, H, W, C]`, as a saved file would show them: no alpha, NaN is black.

    Raises RespoError for no pictures, and for an attribute that this judge does not know.
    """
    if attribute not in judge.classes:
        raise RespoError(
            f"expected an attribute that {judge.name} knows ({', '.join(judge.classes)}), found {attribute[:80]!r}. "
            "Choose one of these, or load another judge."
        )
    if images.ndim != 4 or not images.numel():
        raise RespoError(f"expected at least one picture to judge, found a batch of the shape {list(images.shape)}.")
    parts = [judge.verdicts(colours(part.cpu()).movedim(-1, 1), _AT_ONCE)[attribute] for part in images.split(_AT_ONCE)]
    return Verdict(
        tuple(label for part in parts for label in part.labels),
        tuple(value for part in parts for value in part.confidence),
        tuple(row for part in parts for row in part.probabilities),
    )
