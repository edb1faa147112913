"""NudeNet: a detector of body parts, from the package `nudenet`, which contains its weights (AGPL-3.0).

`NudeDetector.detect(picture)` takes a uint8 array `[H, W, 3]` in BGR order, and returns [{"class": "FACE_FEMALE",
"score": 0.79, "box": [x, y, w, h]}, …] without results below a score of .25.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..core.errors import RespoError
from ..core.judge import SAFE, UNSAFE, Verdict, decide
from .package import release, require

NUDE = frozenset(
    ("FEMALE_BREAST_EXPOSED", "FEMALE_GENITALIA_EXPOSED", "MALE_GENITALIA_EXPOSED", "BUTTOCKS_EXPOSED", "ANUS_EXPOSED")
)
ATTRIBUTE = "nudity"
THRESHOLDS = (0.7, 0.5)  # of "no" and "yes": a part found with a score between .3 and .5 is neither


class NudeNetJudge:
    """Says yes when an uncovered body part is found. Its probability is the best score of such a part, or 0."""

    def __init__(self) -> None:
        module = require("nudenet", "nudenet", "NudeNet")
        self.name = f"NudeNet {release('nudenet')}".strip()
        self.classes: Mapping[str, tuple[str, ...]] = {ATTRIBUTE: (SAFE, UNSAFE)}
        try:
            self._detector = module.NudeDetector()
        except (OSError, RuntimeError, ValueError) as error:
            raise RespoError(f"NudeNet's own weights cannot be loaded: {error}. Reinstall the package.") from error

    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:  # noqa: ARG002 - one picture at a time
        """Return a Verdict: no, yes or unsure for each image. `images`: `[B, 3, H, W]` in 0 … 1."""
        scores = torch.tensor([self._score(image) for image in images], dtype=torch.float64)
        probabilities = torch.stack([1 - scores, scores], -1)
        return {ATTRIBUTE: decide(self.classes[ATTRIBUTE], probabilities, THRESHOLDS)}

    def _score(self, image: Tensor) -> float:
        pixels = (image.flip(0) * 255).round().byte().permute(1, 2, 0)
        found = self._detector.detect(np.ascontiguousarray(pixels.cpu().numpy()))
        return max((float(part["score"]) for part in found if part["class"] in NUDE), default=0.0)
