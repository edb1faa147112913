"""Pictures of prompts that a module is not trained on, from the same noise before and after, while it is trained.

Nothing of the training is touched: the noise depends on a key alone, the networks run without gradient, modules are
only read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..core.module.architecture import family_named
from ..core.module.concept import ConceptModule
from ..latents.randomness import keyed_noise
from ..latents.sampling import sample
from ..network import Conditioning, SplitNetwork
from ..objectives import OBJECTIVES
from ..settings.config import TrainConfig
from .sheet import Sheet

BEFORE = "before"
STEPS = 20
SEEDS = 2
_LARGEST = 256  # pixels: a sheet of larger pictures would be neither readable at a glance nor small
_SMALLEST = 96


class Previews:
    """Draws the same prompts from the same noise each time. The pictures without a module are drawn once and kept."""

    def __init__(self, config: TrainConfig, unet: SplitNetwork):
        self._config, self._unet, self._key = config, unet, run_key(config, unet)
        self._prompts = tuple(config.preview) or _fallback(config)
        uncond, *encoded = unet.encode_prompts(["", *self._prompts])
        self._uncond, self._encoded = uncond, encoded
        self._before: NDArray[np.uint8] | None = None

    def draw(self, modules: Mapping[str, ConceptModule], step: int) -> Sheet | None:
        """Return the sheet with every module's pictures; None when the checkpoint has no autoencoder."""
        if self._before is None:
            self._before = self._column(None)
        if self._before is None:
            return None
        drawn = [self._column(module) for module in modules.values()]
        pictures = np.stack([column for column in (self._before, *drawn) if column is not None], axis=1)
        return Sheet(self._key, self._config.attribute, step, self._prompts, (BEFORE, *modules), pictures)

    def _column(self, module: ConceptModule | None) -> NDArray[np.uint8] | None:
        """Return `[prompts, seeds, height, width, 3]`."""
        cells = [self._cell(row, prompt, module) for row, prompt in enumerate(self._encoded)]
        found = [cell for cell in cells if cell is not None]
        return np.stack(found) if found else None

    def _cell(self, row: int, prompt: Conditioning, module: ConceptModule | None) -> NDArray[np.uint8] | None:
        unet = self._unet
        # Each prompt has its own noise. The same faces in every row would hide what the prompts do.
        key = self._config.seed, "preview", row
        noise = torch.stack([keyed_noise(unet.latent_shape, *key, seed) for seed in range(SEEDS)])
        # The guidance that is usual for the model: the trajectory's is a setting of training, 3 on Stable Diffusion,
        # and a module's effect grows with the guidance.
        guidance = family_named(unet.architecture.family).guidance
        half = OBJECTIVES[self._config.objective].half
        noise = noise.to(unet.alphas_cumprod)
        latents = sample(unet, noise, prompt, self._uncond, STEPS, guidance, module, half)
        pictures = unet.decode(latents)
        return None if pictures is None else np.stack([_small(picture) for picture in pictures])


def run_key(config: TrainConfig, unet: SplitNetwork) -> str:
    """Return a short identifier of the run. It stays the same when the run is continued for more steps."""
    entries = {key: value for key, value in config.trained().items() if key != "steps"}
    return hashlib.blake2b(json.dumps([entries, unet.fingerprint]).encode(), digest_size=8).hexdigest()


def _fallback(config: TrainConfig) -> tuple[str, ...]:
    """Return the prompts to preview when the preset names none: those that it steers."""
    return tuple(dict.fromkeys(config.of(name, "neutral") for name in config.concepts))


def _small(picture: Tensor) -> NDArray[np.uint8]:
    """Turn `[3, H, W]` in 0 … 1 into bytes `[h, w, 3]`: larger ones reduced, tiny ones enlarged in whole pixels."""
    pixels = np.ascontiguousarray((picture.nan_to_num(0).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
    longest = max(pixels.shape[:2])
    if longest > _LARGEST:
        size = tuple(max(1, round(side * _LARGEST / longest)) for side in (pixels.shape[1], pixels.shape[0]))
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    times = -(-_SMALLEST // longest)
    return pixels.repeat(times, 0).repeat(times, 1)
