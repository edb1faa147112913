"""Load a checkpoint with the host's own loader, so that training and inference run the same network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from ..core.errors import RespoError
from ..precision import Precision, choose_dtype
from .host_network import HostNetwork, architecture_of
from .locate import use_host
from .split_transformer import HostTransformer
from .split_unet import HostUNet


def load_unet(
    path: str | os.PathLike[str],
    precision: Precision = "auto",
    size: tuple[int, int] | None = None,
    *,
    compile: bool = False,  # noqa: A002 - the usual name
    checkpointing: bool | None = None,
    block: int = 0,
) -> HostNetwork:
    """Load any checkpoint of a U-Net, or of a transformer of a known family, that ComfyUI can load.

    `size`: (height, width) in pixels; default: the model's own. `compile`: use torch.compile, after a check that the
    results are the same. `checkpointing`, `block`: see HostNetwork. Raises RespoError when it cannot be loaded or
    trained on.
    """
    path = Path(path)
    if not path.is_file():
        raise RespoError(f"no checkpoint at {path}. Give the path of a .safetensors checkpoint.")
    use_host()
    import comfy.model_management as management

    from . import emoji_world_model

    emoji_world_model.register()
    # Nodes run in inference mode; tensors made there cannot be trained with.
    with torch.inference_mode(False):
        device = management.get_torch_device()
        dtype = choose_dtype(precision, device)
        patcher, clip, vae = _load(path, dtype)
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
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RespoError(f"ComfyUI cannot load {path.name}: {reason}") from error
    if patcher is None or clip is None:
        raise RespoError(
            f"{path.name} has no text encoder inside. Use a full checkpoint (the kind that goes into "
            "models/checkpoints), not a U-Net alone."
        )
    return patcher, clip, vae
