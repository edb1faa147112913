"""Emoji World's judge: a small classifier that recognises who and what is in a picture.

It has never seen output of the model, the autoencoder or a module that it judges: it is trained on real emoji
(`emoji_world/train_judge.py`) and ships with the pack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import RespoError
from ..core.files.header import header_of, opened, parse_json
from ..core.judge import Verdict, decide

INPUT_SIDE = 64  # pixels: every picture's square is resized to this
WIDTHS = (32, 64, 128)
_MOST_BYTES = 2**27
_FILE = Path(__file__).resolve().parents[2] / "emoji_world" / "judges" / "judge.safetensors"


def square(images: Tensor) -> Tensor:
    """Cut images `[..., H, W]` to the largest square in the middle of their lower edge, where people stand.

    A stretched face is read badly: of composed people at 96 x 160 pixels the gender was right in 89 %, of 160 x 96 in
    80 %; cut, in 99.9 and 99.0 %. Square images stay as they are.
    """
    height, width = images.shape[-2:]
    side = min(height, width)
    left = (width - side) // 2
    return images[..., height - side :, left : left + side]


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

    `classes`: attribute -> its class names; `thresholds`: attribute -> the probability below which it is unsure.
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
        # Mean and maximum, because a weapon is small and would vanish in the mean.
        self.heads = nn.ModuleDict({name: nn.Linear(2 * before, len(labels)) for name, labels in self.classes.items()})

    def features(self, images: Tensor) -> Tensor:
        """Return features `[B, 256]` of images `[B, 3, H, W]` in 0 … 1."""
        images = square(images)
        if images.shape[-2:] != (INPUT_SIDE, INPUT_SIDE):
            images = functional.interpolate(images, size=(INPUT_SIDE, INPUT_SIDE), mode="area")
        x = self.body(images * 2 - 1)
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return logits `[B, classes]` per attribute, for images `[B, 3, H, W]` in 0 … 1."""
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items()}

    @torch.inference_mode()
    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:
        """Return a Verdict per attribute, for images `[B, 3, H, W]` in 0 … 1; UNSURE below its threshold."""
        logits = [self(part) for part in images.float().split(batch)]
        return {name: self._verdict(name, torch.cat([part[name] for part in logits])) for name in self.classes}

    def _verdict(self, name: str, logits: Tensor) -> Verdict:
        names = self.classes[name]
        return decide(names, logits.softmax(-1), [self.thresholds[name]] * len(names))


def load_judge(path: Path) -> Judge:
    """Read a judge's safetensors file. Raises RespoError when it is not one."""
    try:
        with opened(path) as file:
            about = parse_json(header_of(file, path.name, _MOST_BYTES)["__metadata__"]["judge"], "what the judge knows")
            judge = Judge(about["classes"], about["thresholds"])
            file.seek(0)
            judge.load_state_dict({name: one.float() for name, one in load(file.read()).items()})
    except (
        OSError,
        MemoryError,
        SafetensorError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
    ) as error:
        raise RespoError(f"expected a judge's .safetensors file at {path}, could not read one: {error}") from error
    return judge.eval()


def emoji_world_judge() -> Judge:
    """Return the shipped judge.

    Raises RespoError when the file is missing: `respo` installed without the repository.
    """
    return load_judge(_FILE)
