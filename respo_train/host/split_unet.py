"""The host's own U-Net, split after its middle block, so that only the second half runs with gradients."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..core.errors import RespoError, RespoWarning
from ..core.module.architecture import Architecture, family_named
from ..core.module.fingerprint import fingerprint
from ..core.pictures.attention import word_tokens
from ..network import AttentionHook, Conditioning, Encoded
from .attention_hook import attention_options, attention_places, has_gradient
from .compute import check_same, probe, store_as_computed
from .locate import host_version


class HostUNet:
    """Implements `network.SplitUNet` on the host's model patcher, its `comfy.sd.CLIP` and optionally a `comfy.sd.VAE`.

    The model's weights are frozen and never written. `dtype`: bfloat16 runs under autocast, float32 without it. `size`:
    (height, width) in pixels of the training pictures; None: the size that the model was made for. `owned`: nothing
    else uses the model, so its weights may be stored in the compute precision. `checkpointing`: recompute the decoder's
    activations in the backward pass to save memory; None: for SDXL only. Raises RespoError for models without a middle
    block and for noise schedules that are not discrete.
    """

    def __init__(
        self,
        patcher: Any,
        clip: Any,
        vae: Any,
        device: torch.device,
        dtype: torch.dtype,
        size: tuple[int, int] | None = None,
        *,
        owned: bool = False,
        checkpointing: bool | None = None,
    ):
        model = patcher.model
        self.architecture = Architecture.from_unet_config(model.model_config.unet_config)
        # The host unloads a model when nothing refers to its patcher.
        self._patcher, self._clip, self._vae, self._device, self._dtype = patcher, clip, vae, device, dtype
        self._net = model.diffusion_model.requires_grad_(False).eval()
        self.fingerprint = fingerprint(self._net.middle_block[0].out_layers[3].weight)
        self.latent_shape = _latent_shape(model, self.architecture, size)
        self.alphas_cumprod = _alphas_cumprod(model).to(device)
        self._predicts_velocity = _predicts_velocity(model)
        self._attention_places = attention_places(self._net)
        self.attention_layers = len(self._attention_places)
        self._replaces_attention = not has_gradient()
        self._checkpointing = self.architecture.family == "sdxl" if checkpointing is None else checkpointing
        self._first_half, self._second_half = self._run_first_half, self._run_second_half
        if owned and dtype != torch.float32:
            store_as_computed(self._net, dtype)

    @property
    def compute(self) -> dict[str, Any]:
        """Return how it computes, as far as this affects the last digits of a result."""
        precision = "float32" if self._dtype == torch.float32 else "bfloat16"
        return {"precision": precision, "compiled": self._first_half != self._run_first_half, "comfyui": host_version()}

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        """Encode each prompt with the host's text encoder; SDXL's added embedding has the native size and no crop."""
        encoded = [self._encode_prompt(prompt) for prompt in prompts]
        self._bring_back()
        return encoded

    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        """Run input blocks and middle block without gradients. See `network.SplitUNet`."""
        batch = latents.shape[0]
        context = conditioning.context.expand(batch, -1, -1)
        added = None if conditioning.added is None else conditioning.added.expand(batch, -1)
        # A compiled half would have the first hook compiled in, so it cannot take another.
        run = self._first_half if hook is None else self._run_first_half
        with torch.no_grad(), self._autocast():
            h, skips, embedding = run(latents, timesteps, context, added, self._options(latents, hook))
        return Encoded(h, skips, embedding, context, latents, timesteps)

    def decoder(self, encoded: Encoded, h: Tensor, hook: AttentionHook | None = None) -> Tensor:
        """Run the output blocks from `h`. See `network.SplitUNet`."""
        run = self._second_half if hook is None else self._run_second_half
        options = self._options(encoded.latents, hook)
        with self._autocast():
            output = run(h, encoded.skips, encoded.embedding, encoded.context, options).float()
        return self._as_noise(output, encoded)

    def compile(self) -> None:
        """Compile both halves; takes minutes. Raises RespoError when it fails or changes the results."""
        expected = probe(self)
        try:
            self._first_half = torch.compile(self._run_first_half)
            self._second_half = torch.compile(self._run_second_half)
            found = probe(self)
        except Exception as error:  # no C++ compiler, no Triton, or any error of the compiler
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise RespoError(f"torch.compile failed on this machine, train without it: {reason}") from error
        check_same(expected, found, self._dtype)

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

    def decode(self, latents: Tensor) -> Tensor | None:
        """Decode with the host's autoencoder. See `network.SplitUNet`."""
        # The host returns an empty VAE for a checkpoint without one.
        if self._vae is None or self._vae.first_stage_model is None:
            return None
        with torch.inference_mode(False), torch.no_grad():
            pictures = self._vae.decode(self._patcher.model.process_latent_out(latents))
            self._bring_back()
        return pictures.movedim(-1, 1).float().cpu().clamp(0, 1)

    def _bring_back(self) -> None:
        """Load the U-Net again: where memory is short, the text encoder or the autoencoder may have pushed it out."""
        import comfy.model_management as management

        management.load_models_gpu([self._patcher], force_full_load=True)

    def _as_noise(self, output: Tensor, encoded: Encoded) -> Tensor:
        if not self._predicts_velocity:
            return output
        # v = sqrt(a) noise - sqrt(1 - a) picture (Salimans and Ho 2022), and z = sqrt(a) picture + sqrt(1 - a) noise.
        alpha = self.alphas_cumprod[encoded.timesteps].view(-1, 1, 1, 1)
        return alpha.sqrt() * output + (1 - alpha).sqrt() * encoded.latents

    def _encode_prompt(self, prompt: str) -> Conditioning:
        tokens = self._clip.tokenize(prompt)
        _warn_if_long(prompt, tokens)
        # Nodes run in inference mode; tensors made there cannot be trained with.
        with torch.inference_mode(False), torch.no_grad():
            found = self._clip.encode_from_tokens(tokens, return_pooled=True, return_dict=True)
            entries = self._patcher.model.extra_conds(
                cross_attn=found["cond"],
                pooled_output=found.get("pooled_output"),
                width=8 * self.latent_shape[2],
                height=8 * self.latent_shape[1],
                device=self._device,
            )
        context = entries["c_crossattn"].cond.to(self._device, torch.float32)
        added = entries["y"].cond.to(self._device, torch.float32) if "y" in entries else None
        return Conditioning(context, added, word_tokens(self._clip, prompt))

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32)


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


def _warn_if_long(prompt: str, tokens: Any) -> None:
    """Warn of a prompt that the host splits. `tokens`: from its tokenizers, a list of chunks for each."""
    longest = max(tokens.values(), key=len)
    if len(longest) > 1:
        warnings.warn(
            f"the prompt {prompt[:40]!r}… does not fit into one chunk of {len(longest[0]) - 2} tokens and is cut into "
            f"{len(longest)}: words in different chunks do not influence each other. Shorten it.",
            RespoWarning,
            stacklevel=2,
        )


def _latent_shape(model: Any, architecture: Architecture, size: tuple[int, int] | None) -> tuple[int, int, int]:
    channels = model.latent_format.latent_channels
    if model.model_config.unet_config["in_channels"] != channels:
        raise RespoError(
            f"expected a U-Net that takes a latent of {channels} channels, found one that takes "
            f"{model.model_config.unet_config['in_channels']} (an inpainting or editing model). Use its base model."
        )
    if size is not None:
        return channels, size[0] // 8, size[1] // 8
    own = family_named(architecture.family).latent_size
    return channels, own, own


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
