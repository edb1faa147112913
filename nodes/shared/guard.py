"""Check that a module fits a model: a different architecture is an error, a different checkpoint gives a note."""

from __future__ import annotations

from typing import Any

from ...respo_train.core.errors import RespoError
from ...respo_train.core.module.architecture import Architecture
from ...respo_train.core.module.fingerprint import fingerprint, same_checkpoint, weight_name
from .wire import LoadedModule


def check_fit(model: Any, module: LoadedModule) -> str:
    """Return a note to show on the node, "" when `model` is the checkpoint that the module was made on.

    Raises ArchitectureMismatch, or RespoError when the model is of no kind that can be steered.
    """
    made_for = module.attribute.architecture
    made_for.require(architecture_of(model, made_for.block))
    known = module.attribute.base.get("fingerprint")
    if known and same_checkpoint(fingerprint(own_weight(model, made_for.block)), known):
        return ""
    made_on = module.attribute.made_on
    return f"Note: made on {made_on}; this model has other weights, so the effect may be weaker or different."


def require_allowed(module: LoadedModule, strength: float) -> None:
    """Raise RespoError when `strength` would bring back what a safety module removes."""
    if module.attribute.purpose == "safety" and strength < 0:
        raise RespoError(
            f"expected a strength of 0 or more for {module.file!r}, found {strength}: below 0 a safety module brings "
            "back what it was made to remove."
        )


def architecture_of(model: Any, block: int = 0) -> Architecture:
    """Return a host MODEL's architecture; of a transformer with h behind that block, 0 for the default.

    Raises RespoError when the model is of no kind that can be steered.
    """
    return Architecture.of(model.get_model_object("diffusion_model"), model.model.model_config.unet_config, block)


def own_weight(model: Any, block: int = 0) -> Any:
    """Return the checkpoint's original value of the weight that fingerprints are made of.

    `block`: as in `architecture_of`. While a LoRA is applied, the host keeps the original weight in `backup`.
    """
    block = architecture_of(model, block).block
    name = f"diffusion_model.{weight_name(model.get_model_object('diffusion_model'), block)}"
    kept = getattr(model, "backup", {}).get(name)
    return model.get_model_object(name) if kept is None else kept.weight
