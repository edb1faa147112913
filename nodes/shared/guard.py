"""Does this module belong to this model? Another architecture is an error, another checkpoint a note."""

from __future__ import annotations

from typing import Any

from ...respo_train.core.errors import RespoError
from ...respo_train.core.module.architecture import Architecture
from ...respo_train.core.module.fingerprint import fingerprint, same_checkpoint
from .wire import LoadedModule

_FINGERPRINTED = "diffusion_model.middle_block.0.out_layers.3.weight"


def check_fit(model: Any, module: LoadedModule) -> str:
    """Return a note for the node's face: "" when `model` is the checkpoint that the module was made on.

    Raises ArchitectureMismatch, or RespoError when the model has no middle block at all.
    """
    module.attribute.architecture.require(architecture_of(model))
    known = module.attribute.base.get("fingerprint")
    if known and same_checkpoint(fingerprint(own_weight(model)), known):
        return ""
    name = module.attribute.base.get("name", "another checkpoint")
    return f"Note: made on {name}; this model has other weights, so the effect may be weaker or different."


def require_allowed(module: LoadedModule, strength: float) -> None:
    """Raise RespoError when `strength` would bring back what a safety module removes."""
    if module.attribute.purpose == "safety" and strength < 0:
        raise RespoError(
            f"expected a strength of 0 or more for {module.file!r}, found {strength}: below 0 a safety module brings "
            "back what it was made to remove."
        )


def architecture_of(model: Any) -> Architecture:
    """Read a host MODEL's architecture. Raises RespoError naming what was found where there is no middle block."""
    architecture = Architecture.from_unet_config(model.model.model_config.unet_config)
    network = model.get_model_object("diffusion_model")
    if getattr(network, "middle_block", None) is None:
        raise RespoError(
            f"Respo steers the middle block of a U-Net, but this model ({type(network).__name__}) has none. "
            "Use an SD 1.x, SD 2.x or SDXL checkpoint that was not cut down."
        )
    return architecture


def own_weight(model: Any) -> Any:
    """Return the weight that fingerprints are made of, the checkpoint's own.

    While the model is loaded with a LoRA, the host keeps the original aside.
    """
    kept = getattr(model, "backup", {}).get(_FINGERPRINTED)
    return model.get_model_object(_FINGERPRINTED) if kept is None else kept.weight
