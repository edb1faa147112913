"""SDisc (Self-discovery, CVPR 2024): the common ancestor of the other objectives, and our baseline.

A module is trained so that the neutral prompt's prediction reconstructs the noise in pictures of the concept, which the
frozen model drew before. There is no semantic part. For safety the pictures are drawn with the neutral prompt, and with
the unwanted concept as negative prompt. At inference the released code adds its vector only to the conditional half of
guidance.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from ..core.module.concept import ConceptModule
from ..latents.pictures import Pictures, pictures_of
from .objective import Objective, Setting, Term


def reconstruction_loss(predicted: Tensor, noise: Tensor) -> Tensor:
    """Return the mean squared error between predicted and actual noise, both `[B, C, H, W]`."""
    return F.mse_loss(predicted, noise)


def terms(setting: Setting, module: ConceptModule, pictures: Pictures, step: int) -> Iterator[Term]:
    """Yield the responsible part's loss. It takes one encoder and one decoder."""
    unet = setting.unet
    batch = pictures.batch(step, unet.alphas_cumprod)
    encoded = unet.encoder(batch.latents, batch.timesteps, setting.prompts.neutral)
    predicted = unet.decoder(encoded, encoded.h + module.towards(encoded.h).to(encoded.h))
    yield Term("responsible", reconstruction_loss(predicted, batch.noise))


OBJECTIVE = Objective("sdisc", "cond", pictures_of, terms)
