"""Speed-ups that leave the results unchanged: weights stored in the compute precision, and a check of torch.compile."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..core.errors import RespoError
from ..latents.randomness import keyed_noise
from ..network import Conditioning, SplitNetwork

# Largest relative distance of compiled and eager results. Rounding is far below; a missing gradient gives 1.
_TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.1}


def store_as_computed(network: nn.Module, dtype: torch.dtype) -> None:
    """Store the weights of linear layers and convolutions in `dtype`; norms are left as they are.

    Otherwise autocast would convert a frozen weight at every call, because it only caches copies of trainable weights.
    The results are identical to the bit, and the weights take half the memory.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.to(dtype)


@dataclass(frozen=True)
class Probe:
    """A U-Net's results for one fixed latent: the `prediction` `[1, C, H, W]`, and the `gradient` with respect to h."""

    prediction: Tensor
    gradient: Tensor


def probe(unet: SplitNetwork) -> Probe:
    """Run both halves forwards and backwards on a fixed latent, in the middle of the noise schedule."""
    like = unet.alphas_cumprod
    width = unet.architecture
    added = keyed_noise((1, width.adm_channels), "probe", "added").to(like) if width.adm_channels else None
    prompt = Conditioning(keyed_noise((1, 77, width.context_dim), "probe", "context").to(like), added)
    latents = keyed_noise((1, *unet.latent_shape), "probe", "latents").to(like)
    encoded = unet.encoder(latents, torch.tensor([len(like) // 2], device=like.device), prompt)
    h = encoded.h.detach().clone().requires_grad_(True)
    prediction = unet.decoder(encoded, h)
    weights = keyed_noise(tuple(prediction.shape), "probe", "weights").to(prediction)
    (gradient,) = torch.autograd.grad((prediction * weights).sum(), h)
    return Probe(prediction.detach(), gradient)


def check_same(expected: Probe, found: Probe, dtype: torch.dtype) -> None:
    """Raise RespoError when the compiled U-Net's prediction or gradient differs from the original's.

    This does happen: on a CPU, torch.compile silently gave no gradient through nearest-neighbour upsampling.
    """
    for what in ("prediction", "gradient"):
        right, other = getattr(expected, what).float(), getattr(found, what).float()
        distance = float((other - right).norm() / right.norm())
        if not distance <= _TOLERANCES[dtype]:  # NaN is wrong too
            raise RespoError(
                f"expected the compiled U-Net to compute what the original does, found a {what} that differs by "
                f"{distance:.1%}; torch.compile does not work here, train without it"
            )
