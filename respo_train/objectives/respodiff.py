"""RespoDiff (NeurIPS 2025, arXiv 2509.15257, section 3): what the two parts of a module are trained towards.

All tensors are predicted noise, `[B, C, H, W]`, of the same latents at the same timesteps.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def guided(uncond: Tensor, cond: Tensor, guidance: float) -> Tensor:
    """Return classifier-free guidance's `uncond + guidance * (cond - uncond)`."""
    return uncond + guidance * (cond - uncond)


def fairness_target(origin: Tensor, towards: Tensor, away: Tensor, guidance: float) -> Tensor:
    """Return what the responsible part shall reach: `origin + guidance * (towards - away)`, all by the frozen U-Net.

    `towards` is the prediction for the target prompt. The paper's `origin` and `away` are the unconditional prediction,
    so that the target differs from the neutral one in all that guidance sharpens. With the neutral prediction as
    `origin` and the other concepts' as `away` (as Concept Sliders have it, arXiv 2311.12092) it differs in
    the attribute alone.
    """
    return (origin + guidance * (towards - away)).detach()


def responsible_loss(student: Tensor, target: Tensor) -> Tensor:
    """Mean squared error between the neutral prompt's prediction with `responsible` added to h and the target."""
    return F.mse_loss(student, target)


def semantic_loss(student: Tensor, neutral: Tensor, weight: float) -> Tensor:
    """Return `weight` (the paper's lambda) times the mean squared error to the unmodified neutral prediction.

    `student` has both parts added to h; only the semantic one may receive its gradient. Alone it is smallest where
    semantic = -responsible, so that its learning rate and the number of steps decide how much effect is given back.
    """
    return weight * F.mse_loss(student, neutral.detach())
