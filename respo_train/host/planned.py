"""Plan a training: on this machine or on a named card, of a loaded model or from a checkpoint's header."""

from __future__ import annotations

import logging
import platform
from pathlib import Path
from typing import Any

import torch

from ..core.errors import Remedy, RespoError
from ..core.module.architecture import family_named
from ..plan.cards import REACHED, card_named
from ..plan.count import StepCost, count_step
from ..plan.fit import GB, Machine, Plan
from ..plan.speed import measured_speed
from ..precision import Precision, choose_dtype
from ..settings.config import TrainConfig
from ..team import ALONE, Team
from .host_network import HostNetwork, architecture_of
from .outline import model_without_weights, outliner


def prepare(unet: Any, config: TrainConfig, team: Team = ALONE) -> Plan | None:
    """Set checkpointing as `config` says, and return the plan of a training that is about to start.

    None for what is not the host's network, and when counting fails: then the training starts without a plan.
    """
    if not isinstance(unet, HostNetwork):
        return None
    if config.checkpointing != "auto":
        unet.use_checkpointing(config.checkpointing == "on")
    import comfy.model_management as management

    try:
        weights = sum(parameter.nbytes for parameter in unet._net.parameters())
        machine = this_machine(unet._device, unet._dtype, weights)
        plan = _plan(config, machine, unet._patcher.model, team)
        unet.use_checkpointing(plan.checkpointing)
        plan.sentence()  # counts what it needs, so that nothing fails later
    except management.InterruptProcessingException:  # an Exception on some hosts
        raise
    except Exception as error:  # noqa: BLE001 - nobody's training may fail for this
        logging.getLogger(__name__).warning("cannot tell how much memory a step takes: %s", error)
        return None
    return plan


def plan_checkpoint(
    config: TrainConfig, path: Path, precision: Precision = "auto", card: str | None = None, team: Team = ALONE
) -> Plan:
    """Return the plan for a checkpoint (or a network alone) of which nothing but the header is read.

    `card`: the name of a card that need not be here; None for this machine. Raises RespoError.
    """
    model = model_without_weights(path)
    architecture_of(model, config.block or 0)
    if card is not None:
        return _plan(config, machine_with(card, precision), model, team)
    import comfy.model_management as management

    device = management.get_torch_device()
    return _plan(config, this_machine(device, choose_dtype(precision, device)), model, team)


def this_machine(device: torch.device, dtype: torch.dtype, loaded: int = 0) -> Machine:
    """Return the machine that this runs on, its speed measured. `loaded`: bytes of weights that are there already."""
    import comfy.model_management as management

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"this {platform.machine()} processor"
    free = management.get_free_memory(device) + loaded
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    return Machine(name, device, dtype, free, measured_speed(device, dtype), threads=threads)


def machine_with(card: str, precision: Precision = "auto") -> Machine:
    """Return a machine with the card of that name and nothing else on it. Raises RespoError for an unknown one."""
    name, known = card_named(card)
    if precision == "bfloat16" and not known.bfloat16:
        raise RespoError(f"{name} has no bfloat16: it trains in float32", Remedy("precision", "float32"))
    dtype = torch.float32 if precision == "float32" or not known.bfloat16 else torch.bfloat16
    return Machine(name, torch.device("cuda"), dtype, known.gb * GB, REACHED * known.tflops * 1e12, measured=False)


def _plan(config: TrainConfig, machine: Machine, model: Any, team: Team) -> Plan:
    block = config.block or 0
    own = 8 * family_named(architecture_of(model, block).family).latent_size

    def count(checkpointing: bool) -> StepCost:
        made = outliner(model, machine.device, machine.dtype, config.size, checkpointing, block)
        return count_step(config, made, team)

    return Plan(config, machine, config.size or (own, own), count)
