"""Check that a module fits a model: a different architecture is an error, a different checkpoint gives a note."""

from __future__ import annotations

from typing import Any

from ...respo_train.core.errors import RespoError
from ...respo_train.core.module.architecture import Architecture
from ...respo_train.core.module.fingerprint import fingerprint, same_checkpoint
from .wire import LoadedModule

_FINGERPRINTED = "diffusion_model.middle_block.0.out_layers.3.weight"


def check_fit(model: Any, module: LoadedModule) -> str:
    """Return a note to show on the node, "" when `model` is the checkpoint that the module was made on.

    Raises ArchitectureMismatch, or RespoError when the model has no middle block.
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
    """Return a host MODEL's architecture. Raises RespoError when the model has no middle block."""
    architecture = Architecture.from_unet_config(model.model.model_config.unet_config)
    network = model.get_model_object("diffusion_model")
    if getattr(network, "middle_block", None) is None:
        raise RespoError(
            f"Respo steers the middle block of a U-Net, but this model ({type(network).__name__}) has none. "
            "Use an SD 1.x, SD 2.x or SDXL checkpoint that was not cut down."
        )
    return architecture


def own_weight(model: Any) -> Any:
    """Return the checkpoint's original value of the weight that fingerprints are made of.

    While a LoRA is applied, the host keeps the original weight in `backup`.
    """
    kept = getattr(model, "backup", {}).get(_FINGERPRINTED)
    return model.get_model_object(_FINGERPRINTED) if kept is None else kept.weight
