"""The host's network on fake tensors, made from a loaded model or from nothing but a checkpoint's header."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from ..core.errors import RespoError
from ..core.files.header import opened
from ..core.module.architecture import tokens_of
from ..memory import first_line
from ..network import Conditioning, SplitNetwork
from .host_network import HostNetwork, architecture_of
from .locate import use_host
from .split_transformer import HostTransformer
from .split_unet import HostUNet

CPU = torch.device("cpu")
_SMALL = 100_000  # numbers; smaller tensors are read, as the host looks at some of them to recognise a model
_LONG_TEXT = 256  # Flux fills prompts up to it; those of other transformers are as long as they are, mostly shorter
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_DTYPES |= {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "U8": torch.uint8, "I8": torch.int8}
_DTYPES |= {"I16": torch.int16, "I32": torch.int32, "I64": torch.int64, "BOOL": torch.bool}


class Outlined(HostNetwork):
    """A network of fake tensors. Prompts have the right sizes and no meaning.

    On a GPU autocast runs normalisations in float32, and attention is one fused kernel. The fake tensors are on the
    CPU, where both are not so by themselves.
    """

    def __init__(self, model: Any, like: torch.device, *arguments: Any, **options: Any):
        super().__init__(SimpleNamespace(model=model), None, None, CPU, *arguments, **options)
        self._places = _places(model)
        config = model.model_config.unet_config
        self._added = config.get("adm_in_channels") or config.get("vec_in_dim") or 0
        if like.type != "cpu":
            self._replaces_attention = True
            for module in self._net.modules():
                if isinstance(module, nn.GroupNorm | nn.LayerNorm):
                    module.register_forward_pre_hook(lambda _, given: (given[0].float(), *given[1:]))

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        """Return empty tensors; of tokens, one for each word."""
        found = []
        for prompt in prompts:
            words = [1 + sum(word.encode()) for word in prompt.split()][: self._places - 2]
            tokens = (None, *words, *[None] * (self._places - 1 - len(words)))
            added = torch.empty(1, self._added) if self._added else None
            found.append(Conditioning(torch.empty(1, self._places, self.architecture.context_dim), added, tokens))
        return found

    def decode(self, latents: Tensor) -> Tensor | None:
        """Draw nothing."""
        del latents
        return None

    def _fingerprint(self) -> tuple[float, ...]:
        return ()


class OutlinedUNet(Outlined, HostUNet):
    """A HostUNet of fake tensors."""


class OutlinedTransformer(Outlined, HostTransformer):
    """A HostTransformer of fake tensors."""


def outliner(
    model: Any,
    like: torch.device,
    dtype: torch.dtype,
    size: tuple[int, int] | None,
    checkpointing: bool,
    block: int = 0,
) -> Callable[[], tuple[SplitNetwork, list[Tensor]]]:
    """Return what makes the network on fake tensors, inside a FakeTensorMode, and returns its weights too.

    `model`: the host's BaseModel, its weights anywhere, "meta" included. `like`: the device to train on, here or not.
    `block`: of a transformer, see HostNetwork.
    """
    kind = OutlinedTransformer if architecture_of(model, block).block else OutlinedUNet

    def outline() -> tuple[SplitNetwork, list[Tensor]]:
        network = model.diffusion_model
        fake = {id(tensor): _fake(tensor, dtype) for tensor in chain(network.parameters(), network.buffers())}
        lent = copy.copy(model)
        lent._modules = {**model._modules, "diffusion_model": copy.deepcopy(network, fake)}
        unet = kind(lent, like, dtype, size, checkpointing=checkpointing, block=block)
        return unet, list(lent.diffusion_model.parameters())

    return outline


def model_without_weights(path: str | os.PathLike[str]) -> Any:
    """Return the host's BaseModel of a checkpoint or a U-Net alone, on the device "meta". Reads the file's header.

    Raises RespoError when the file cannot be read or the host does not know the model.
    """
    use_host()
    path = Path(path)
    try:
        found = _model(*_shapes(path))
    except RespoError:
        raise
    except Exception as error:  # the host's loader can raise anything
        raise RespoError(f"ComfyUI cannot read {path.name}: {first_line(error)}. Get the file again.") from error
    if found is None:
        raise RespoError(f"ComfyUI does not know the model in {path.name}. Give a checkpoint that ComfyUI loads.")
    return found


def _model(state: dict[str, Tensor], metadata: dict[str, str] | None) -> Any:
    """Return the host's model of a state dict, None for one that it does not know."""
    from comfy import model_detection

    from . import emoji_world_model

    emoji_world_model.register()
    prefix = model_detection.unet_prefix_from_state_dict(state)
    config = model_detection.model_config_from_unet(state, prefix, metadata=metadata)
    if config is None:
        prefix = ""
        config = model_detection.model_config_from_unet(state, prefix, metadata=metadata)
    config = config or model_detection.model_config_from_diffusers_unet(state)
    if config is None:
        return None
    config.set_inference_dtype(torch.float32, None)
    return config.get_model(state, prefix, device="meta")


def _shapes(path: Path) -> tuple[dict[str, Tensor], dict[str, str] | None]:
    """Return a state dict whose larger tensors have no numbers."""
    if path.suffix.lower() not in (".safetensors", ".sft"):
        from comfy.utils import load_torch_file

        return load_torch_file(str(path), safe_load=True), None
    state: dict[str, Tensor] = {}
    try:
        with opened(path), safetensors.safe_open(str(path), framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a dict
                there = file.get_slice(key)
                shape, dtype = there.get_shape(), _DTYPES.get(there.get_dtype(), torch.uint8)
                small = torch.Size(shape).numel() <= _SMALL
                state[key] = file.get_tensor(key) if small else torch.empty(shape, dtype=dtype, device="meta")
            return state, file.metadata()
    except (OSError, safetensors.SafetensorError) as error:
        raise RespoError(f"cannot read {path.name}: {error}") from error


def _fake(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    # As trained: weights of linear layers and convolutions are stored in the compute precision.
    kind = dtype if tensor.is_floating_point() and tensor.ndim > 1 else torch.float32
    made = torch.empty(tensor.shape, dtype=kind if tensor.is_floating_point() else tensor.dtype)
    return nn.Parameter(made, requires_grad=False) if isinstance(tensor, nn.Parameter) else made


def _places(model: Any) -> int:
    """Return the number of places of an encoded prompt: CLIP's, Emoji World's own, of transformers the most usual."""
    from .emoji_world_model import MAX_TOKENS, WIDTH

    config = model.model_config.unet_config
    if WIDTH in (config.get("context_dim"), config.get("cap_feat_dim")):
        return MAX_TOKENS
    return _LONG_TEXT if tokens_of(model.diffusion_model) is not None else 77
