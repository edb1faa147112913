"""The host's own network as the trainer sees it: what a U-Net and a transformer have in common."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from ..core.errors import RespoError, RespoWarning
from ..core.module.architecture import Architecture, family_named
from ..core.module.fingerprint import fingerprint, weight_name
from ..core.pictures.attention import word_tokens
from ..memory import first_line
from ..network import AttentionHook, Conditioning, Encoded
from .attention_hook import has_gradient
from .compute import check_same, probe, store_as_computed
from .locate import host_version


class HostNetwork(ABC):
    """Implements `network.SplitNetwork` on the host's model patcher, its `comfy.sd.CLIP` and optionally a VAE.

    The model's weights are frozen and never written. `dtype`: bfloat16 runs under autocast, float32 without it. `size`:
    (height, width) in pixels of the training pictures; None: the size that the model was made for. `owned`: nothing
    else uses the model, so its weights may be stored in the compute precision. `checkpointing`: recompute the decoder's
    activations in the backward pass to save memory; None: for SDXL and for transformers of full size only. `block`:
    of a transformer, see `Architecture`. Raises RespoError for models that cannot be trained on.
    """

    attention_layers = 0

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
        block: int = 0,
    ):
        model = patcher.model
        self.architecture = architecture_of(model, block)
        # The host unloads a model when nothing refers to its patcher.
        self._patcher, self._clip, self._vae, self._device, self._dtype = patcher, clip, vae, device, dtype
        self._net = model.diffusion_model.requires_grad_(False).eval()
        self.fingerprint = self._fingerprint()
        self.latent_shape = _latent_shape(model, self.architecture, size)
        self.alphas_cumprod = self._read_schedule(model).to(device)
        self._replaces_attention = not has_gradient()
        large = self.architecture.family == "sdxl" or (self.architecture.block > 0 and self.latent_shape[2] > 64)
        self._checkpointing = large if checkpointing is None else checkpointing
        self.compiled = False
        if owned and dtype != torch.float32:
            store_as_computed(self._net, dtype)

    def _fingerprint(self) -> tuple[float, ...]:
        return fingerprint(self._net.get_parameter(weight_name(self._net, self.architecture.block)))

    def use_checkpointing(self, on: bool) -> None:
        """Recompute the decoder's activations in the backward pass or keep them. The results are the same bits."""
        self._checkpointing = on

    @abstractmethod
    def _read_schedule(self, model: Any) -> Tensor:
        """Return the cumulative alphas. Raises RespoError for a model whose noise or prediction is of another kind."""

    @abstractmethod
    def encoder(
        self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: AttentionHook | None = None
    ) -> Encoded:
        """See `network.SplitNetwork`."""

    @abstractmethod
    def decoder(self, encoded: Encoded, h: Tensor, hook: AttentionHook | None = None) -> Tensor:
        """See `network.SplitNetwork`."""

    @abstractmethod
    def _compile(self) -> None: ...

    @property
    def compute(self) -> dict[str, Any]:
        """Return how it computes, as far as this affects the last digits of a result."""
        precision = "float32" if self._dtype == torch.float32 else "bfloat16"
        return {"precision": precision, "compiled": self.compiled, "comfyui": host_version()}

    def compile(self) -> None:
        """Compile both halves; takes minutes. Raises RespoError when it fails or changes the results."""
        expected = probe(self)
        try:
            self._compile()
            self.compiled = True
            found = probe(self)
        except Exception as error:  # no C++ compiler, no Triton, or any error of the compiler
            raise RespoError(f"torch.compile failed on this machine, train without it: {first_line(error)}") from error
        check_same(expected, found, self._dtype)

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        """Encode each prompt with the host's text encoder; SDXL's added embedding has the native size and no crop."""
        encoded = [self._encode_prompt(prompt) for prompt in prompts]
        self._bring_back()
        return encoded

    def decode(self, latents: Tensor) -> Tensor | None:
        """Decode with the host's autoencoder. See `network.SplitNetwork`."""
        # The host returns an empty VAE for a checkpoint without one.
        if self._vae is None or self._vae.first_stage_model is None:
            return None
        with torch.inference_mode(False), torch.no_grad():
            pictures = self._vae.decode(self._patcher.model.process_latent_out(latents))
            self._bring_back()
        return pictures.movedim(-1, 1).float().cpu().clamp(0, 1)

    def _bring_back(self) -> None:
        """Load the network again: where memory is short, the text encoder or the autoencoder may have pushed it out."""
        import comfy.model_management as management

        management.load_models_gpu([self._patcher], force_full_load=True)

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


def architecture_of(model: Any, block: int = 0) -> Architecture:
    """Return the architecture of a host's model. Raises RespoError for a network that has none, or not that block."""
    found = Architecture.of(model.diffusion_model, model.model_config.unet_config, block)
    if block and not found.block:
        raise RespoError(
            f"expected a transformer, since block = {block} is a setting for one, found a U-Net. Leave it out."
        )
    return found


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
    taken = model.model_config.unet_config["in_channels"]
    # Some transformers count the numbers of a patch of 2 x 2.
    if taken != channels and not (architecture.block and taken == 4 * channels):
        raise RespoError(
            f"expected a network that takes a latent of {channels} channels, found one that takes {taken} (an "
            "inpainting or editing model). Use its base model."
        )
    if size is not None:
        return channels, size[0] // 8, size[1] // 8
    own = family_named(architecture.family).latent_size
    return channels, own, own
