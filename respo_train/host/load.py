"""Load a checkpoint with the host's own loader, so that training and inference run the same network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..core.errors import RespoError
from ..memory import first_line
from ..precision import Precision, choose_dtype
from .fit import FULL_WEIGHTS, check_fit
from .host_network import HostNetwork, architecture_of
from .locate import use_host
from .split_transformer import HostTransformer
from .split_unet import HostUNet


@dataclass(frozen=True)
class SeparateFiles:
    """A model in several files: its U-Net, its one or two text encoders, and its VAE, where there is one."""

    unet: Path
    clip: tuple[Path, ...]
    vae: Path | None = None

    def all(self) -> list[Path]:
        """Return every file."""
        return [self.unet, *self.clip, *([self.vae] if self.vae else [])]


def load_unet(
    path: str | os.PathLike[str] | SeparateFiles,
    precision: Precision = "auto",
    size: tuple[int, int] | None = None,
    *,
    compile: bool = False,  # noqa: A002 - the usual name
    checkpointing: bool | None = None,
    block: int = 0,
) -> HostNetwork:
    """Load any checkpoint of a U-Net, or of a transformer of a known family, that ComfyUI can load.

    `path`: of the checkpoint, or a model in separate files. `size`: (height, width) in pixels; default: the model's
    own. `compile`: use torch.compile, after a check that the results are the same. `checkpointing`, `block`: see
    HostNetwork. Raises RespoError when it cannot be loaded or trained on.
    """
    files = path if isinstance(path, SeparateFiles) else Path(path)
    for file in files.all() if isinstance(files, SeparateFiles) else [files]:
        if not file.is_file():
            raise RespoError(f"no checkpoint at {file}. Give the path of a .safetensors checkpoint.")
    use_host()
    import comfy.model_management as management

    from . import emoji_world_model

    emoji_world_model.register()
    management.in_training = True  # for as long as the process lives; see borrow.py
    # Nodes run in inference mode; tensors made there cannot be trained with.
    with torch.inference_mode(False):
        device = management.get_torch_device()
        dtype = choose_dtype(precision, device)
        patcher, clip, vae = _load_parts(files, dtype) if isinstance(files, SeparateFiles) else _load(files, dtype)
        management.load_models_gpu([patcher], force_full_load=True)
        kind = HostUNet if architecture_of(patcher.model, block).block == 0 else HostTransformer
        unet = kind(patcher, clip, vae, device, dtype, size, owned=True, checkpointing=checkpointing, block=block)
        if compile:
            unet.compile()
        return unet


def _load(path: Path, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    import comfy.sd

    # Autocast accepts weights of any precision. Without it they must be float32, which the host would not choose.
    options = {"dtype": dtype} if dtype == torch.float32 else {}
    try:
        patcher, clip, vae, *_ = comfy.sd.load_checkpoint_guess_config(str(path), model_options=options)
    except Exception as error:  # the host's loader can raise anything
        raise RespoError(f"ComfyUI cannot load {path.name}: {first_line(error)}") from error
    if patcher is None or clip is None:
        raise RespoError(
            f"{path.name} has no text encoder inside. Use a full checkpoint (the kind that goes into "
            "models/checkpoints), or give its U-Net, text encoders and VAE as separate files."
        )
    return patcher, clip, vae


def _load_parts(files: SeparateFiles, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    """Load a model from separate files. Raises RespoError for one that the host cannot load or that does not fit."""
    import comfy.sd
    import comfy.utils

    if files.unet.suffix.lower() == ".gguf":
        raise RespoError(f"{files.unet.name} holds quantised weights, which cannot be trained with. {FULL_WEIGHTS}")
    options = {"dtype": dtype} if dtype == torch.float32 else {}
    file = files.unet
    try:
        patcher = comfy.sd.load_diffusion_model(str(file), model_options=options)
        file = files.clip[0]
        clip = comfy.sd.load_clip([str(path) for path in files.clip])
        vae = None
        if files.vae:
            file = files.vae
            vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(file)))
    except Exception as error:  # the host's loaders can raise anything
        raise RespoError(f"ComfyUI cannot load {file.name}: {first_line(error)}") from error
    channels = patcher.model.latent_format.latent_channels
    check_fit(architecture_of(patcher.model), clip, vae, "Give", channels)
    return patcher, clip, vae
