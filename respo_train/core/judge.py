"""Judges: what they all offer, and Emoji World's own, a small classifier that says who and what is in a picture.

That one never saw the model, the autoencoder or a module that it judges: it is trained on real emoji
(`emoji_world/train_judge.py`). Others are in `respo_train/judges/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from .compare import colours
from .errors import RespoError

UNSURE = "unsure"
NOBODY = "nobody"
INPUT_SIDE = 64  # pixels: any picture is averaged down (or up) to this
WIDTHS = (32, 64, 128)
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


class _Block(nn.Module):
    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        same = stride == 1 and n_in == n_out
        self.skip = nn.Identity() if same else nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.skip(x)).relu()


class Judge(nn.Module):
    """A residual network with one linear head per attribute.

    `classes` maps an attribute to its class names; `thresholds` maps it to the probability under which it is unsure.
    """

    name = "Emoji World's judge"

    def __init__(self, classes: Mapping[str, Sequence[str]], thresholds: Mapping[str, float]) -> None:
        super().__init__()
        self.classes: Mapping[str, tuple[str, ...]] = {name: tuple(labels) for name, labels in classes.items()}
        self.thresholds = dict(thresholds)
        layers: list[nn.Module] = [
            nn.Conv2d(3, WIDTHS[0], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(),
        ]
        before = WIDTHS[0]
        for index, width in enumerate(WIDTHS):
            layers += [_Block(before, width, 1 if index == 0 else 2), _Block(width, width, 1)]
            before = width
        self.body = nn.Sequential(*layers)
        # Mean and maximum: a weapon is small and must not be averaged away.
        self.heads = nn.ModuleDict({name: nn.Linear(2 * before, len(labels)) for name, labels in self.classes.items()})

    def features(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> [B, 256]."""
        if images.shape[-2:] != (INPUT_SIDE, INPUT_SIDE):
            images = functional.interpolate(images, size=(INPUT_SIDE, INPUT_SIDE), mode="area")
        x = self.body(images * 2 - 1)
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """[B, 3, H, W] in [0, 1] -> logits [B, classes] per attribute."""
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items()}

    @torch.inference_mode()
    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:
        """[B, 3, H, W] in [0, 1] -> one Verdict per attribute; UNSURE under the attribute's threshold."""
        logits = [self(part) for part in images.float().split(batch)]
        return {name: self._verdict(name, torch.cat([part[name] for part in logits])) for name in self.classes}

    def _verdict(self, name: str, logits: Tensor) -> Verdict:
        names = self.classes[name]
        return decide(names, logits.softmax(-1), [self.thresholds[name]] * len(names))


def load_judge(path: Path) -> Judge:
    """Read a judge's safetensors file; RespoError when it is not one."""
    try:
        with safe_open(str(path), "pt") as file:
            about = json.loads((file.metadata() or {})["judge"])
            judge = Judge(about["classes"], about["thresholds"])
            judge.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise RespoError(f"expected a judge's .safetensors file at {path}, could not read one: {error}") from error
    return judge.eval()
