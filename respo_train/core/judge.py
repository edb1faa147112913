"""The interface of all judges of pictures. The judges themselves are in `respo_train/judges/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from .errors import RespoError
from .pictures.compare import colours

UNSURE = "unsure"
NOBODY = "nobody"
SAFE, UNSAFE = "no", "yes"  # an attribute with these two classes asks whether something unwanted is there
_AT_ONCE = 16  # pictures converted at the same time


@dataclass(frozen=True)
class Verdict:
    """One attribute of a batch of pictures.

    `labels`: a class name or UNSURE for each picture; `confidence`: the probability of its likeliest class;
    `probabilities`: those of all classes, in their order.
    """

    labels: tuple[str, ...]
    confidence: tuple[float, ...]
    probabilities: tuple[tuple[float, ...], ...] = ()


@runtime_checkable
class AnyJudge(Protocol):
    """The interface of every judge. `name`: shown to people; `classes`: attribute -> class names."""

    name: str
    classes: Mapping[str, tuple[str, ...]]

    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:
        """Return a Verdict for each attribute. `images`: `[B, 3, H, W]` in 0 … 1; `batch`: pictures judged at once."""
        ...


def decide(classes: Sequence[str], probabilities: Tensor, thresholds: Sequence[float]) -> Verdict:
    """Label each picture with its likeliest class, or UNSURE when its probability is below that class's threshold.

    `probabilities`: `[B, classes]`; `thresholds`: one per class.
    """
    confidence, winner = probabilities.max(-1)
    labels = tuple(
        classes[w] if p >= thresholds[w] else UNSURE for w, p in zip(winner.tolist(), confidence.tolist(), strict=True)
    )
    return Verdict(labels, tuple(confidence.tolist()), tuple(map(tuple, probabilities.tolist())))


def look(judge: AnyJudge, images: Tensor, attribute: str) -> Verdict:
    """Return `judge`'s verdict on pictures `[B, H, W, C]` as a saved file would show them: no alpha, NaN is black.

    Raises RespoError when there are no pictures or the judge does not know the attribute.
    """
    if attribute not in judge.classes:
        raise RespoError(
            f"expected an attribute that {judge.name} knows ({', '.join(judge.classes)}), found {attribute[:80]!r}. "
            "Choose one of these, or load another judge."
        )
    return look_at_all(judge, images)[attribute]


def look_at_all(
    judge: AnyJudge, images: Tensor, looked: Callable[[int], object] = lambda _: None
) -> dict[str, Verdict]:
    """Return `judge`'s verdict on each of its attributes, for pictures `[B, H, W, C]` as `look` sees them.

    `looked` is told after every few pictures how many they were. Raises RespoError when there are no pictures.
    """
    if images.ndim != 4 or not images.numel():
        raise RespoError(f"expected at least one picture to judge, found a batch of the shape {list(images.shape)}.")
    parts = []
    for part in images.split(_AT_ONCE):
        parts.append(judge.verdicts(colours(part.cpu()).movedim(-1, 1), _AT_ONCE))
        looked(len(part))
    return {name: _joined([part[name] for part in parts]) for name in judge.classes}


def _joined(parts: Sequence[Verdict]) -> Verdict:
    return Verdict(
        tuple(label for part in parts for label in part.labels),
        tuple(value for part in parts for value in part.confidence),
        tuple(row for part in parts for row in part.probabilities),
    )
