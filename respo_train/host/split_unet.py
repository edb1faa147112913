"""The host's own U-Net, split after its middle block, so that only the second half runs with gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..core.errors import RespoError
from ..network import AttentionHook, Conditioning, Encoded
from .attention_hook import attention_options, attention_places
from .host_network import HostNetwork


class HostUNet(HostNetwork):
    """The host's U-Net. See HostNetwork. Raises RespoError for models without a middle block, too."""

    def __init__(self, *model: Any, **options: Any) -> None:
        super().__init__(*model, **options)
        self._attention_places = attention_places(self._net)
        self.attention_layers = len(self._attention_places)
        self._first_half, self._second_half = self._run_first_half, self._run_second_half

    def _read_schedule(self, model: Any) -> Tensor:
        alphas = _alphas_cumprod(model)
        self._predicts_velocity = _predicts_velocity(model)
        return alphas

    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        """Run input blocks and middle block without gradients. See `network.SplitNetwork`."""
        batch = latents.shape[0]
        context = conditioning.context.expand(batch, -1, -1)
        added = None if conditioning.added is None else conditioning.added.expand(batch, -1)
        # A compiled half would have the first hook compiled in, so it cannot take another.
        run = self._first_half if hook is None else self._run_first_half
        with torch.no_grad(), self._autocast():
            h, skips, embedding = run(latents, timesteps, context, added, self._options(latents, hook))
        return Encoded(h, skips, embedding, context, latents, timesteps)

    def decoder(self, encoded: Encoded, h: Tensor, hook: AttentionHook | None = None) -> Tensor:
        """Run the output blocks from `h`. See `network.SplitNetwork`."""
        run = self._second_half if hook is None else self._run_second_half
        options = self._options(encoded.latents, hook)
        with self._autocast():
            output = run(h, encoded.skips, encoded.embedding, encoded.context, options).float()
        return self._as_noise(output, encoded)

    def _compile(self) -> None:
        self._first_half = torch.compile(self._run_first_half)
        self._second_half = torch.compile(self._run_second_half)

    def _options(self, latents: Tensor, hook: AttentionHook | None) -> dict[str, Any]:
        attention = attention_options(hook, self._attention_places, latents, self._replaces_attention)
        return {"original_shape": list(latents.shape), **attention}

    def _run_first_half(
        self, latents: Tensor, timesteps: Tensor, context: Tensor, added: Tensor | None, options: dict[str, Any]
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        from comfy.ldm.modules.diffusionmodules.openaimodel import forward_timestep_embed, timestep_embedding

        embedding = self._net.time_embed(timestep_embedding(timesteps, self._net.model_channels))
        if added is not None:
            embedding = embedding + self._net.label_emb(added)
        h, skips = latents, []
        for index, block in enumerate(self._net.input_blocks):
            h = forward_timestep_embed(block, h, embedding, context, {**options, "block": ("input", index)})
            skips.append(h)
        options = {**options, "block": ("middle", 0)}
        h = forward_timestep_embed(self._net.middle_block, h, embedding, context, options)
        return h, tuple(skips), embedding

    def _run_second_half(
        self, h: Tensor, skips: tuple[Tensor, ...], embedding: Tensor, context: Tensor, options: dict[str, Any]
    ) -> Tensor:
        left = list(skips)
        recompute = self._checkpointing and torch.is_grad_enabled() and h.requires_grad
        for index, block in enumerate(self._net.output_blocks):
            skip = left.pop()
            # For odd sizes each upsampling must match the size of the next skip connection.
            shape = left[-1].shape if left else None
            own = {**options, "block": ("output", index)}
            arguments = (block, h, skip, embedding, context, own, shape)
            if recompute:
                # These blocks use no random numbers.
                h = checkpoint(_output_block, *arguments, use_reentrant=False, preserve_rng_state=False)
            else:
                h = _output_block(*arguments)
        return self._net.out(h)

    def _as_noise(self, output: Tensor, encoded: Encoded) -> Tensor:
        if not self._predicts_velocity:
            return output
        # v = sqrt(a) noise - sqrt(1 - a) picture (Salimans and Ho 2022), and z = sqrt(a) picture + sqrt(1 - a) noise.
        alpha = self.alphas_cumprod[encoded.timesteps].view(-1, 1, 1, 1)
        return alpha.sqrt() * output + (1 - alpha).sqrt() * encoded.latents


def _output_block(
    block: Any,
    h: Tensor,
    skip: Tensor,
    embedding: Tensor,
    context: Tensor,
    options: dict[str, Any],
    shape: torch.Size | None,
) -> Tensor:
    from comfy.ldm.modules.diffusionmodules.openaimodel import forward_timestep_embed

    # A copy: the host writes into its options, and with checkpointing this runs twice.
    return forward_timestep_embed(block, torch.cat([h, skip], dim=1), embedding, context, dict(options), shape)


def _alphas_cumprod(model: Any) -> Tensor:
    from comfy.model_sampling import ModelSamplingDiscrete

    if not isinstance(model.model_sampling, ModelSamplingDiscrete):
        raise RespoError(
            "expected a model with the discrete noise schedule of Stable Diffusion, found another one (EDM or flow). "
            "Respo cannot train on it."
        )
    # The host's sigma is sqrt((1 - a) / a).
    sigmas: Tensor = model.model_sampling.sigmas.float()
    return 1 / (sigmas.square() + 1)


def _predicts_velocity(model: Any) -> bool:
    from comfy.model_sampling import EPS, V_PREDICTION

    # Not from `model_type`: the node ModelSamplingDiscrete changes only the sampling.
    denoise = type(model.model_sampling).calculate_denoised
    if denoise not in (EPS.calculate_denoised, V_PREDICTION.calculate_denoised):
        raise RespoError(f"expected a model that predicts noise or velocity, found {model.model_type.name}.")
    return bool(denoise == V_PREDICTION.calculate_denoised)
