"""`python -m benchmarks.training_memory [--measure NAME] [--json FILE]`: memory and work of a training step.

Without options: what the plan counts for SD 1.5 and SDXL on a graphics card.
`--measure emoji|sd15|sdxl` runs a real step on this machine's processor in float32 (with random weights, but for Emoji
World) and compares what it takes with what was counted. All weights share one piece of memory, so that SDXL needs 4 GB.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.command import Row, run
from benchmarks.speed.cost import peak_bytes
from benchmarks.speed.geometry import WithRandomText, host_model
from benchmarks.speed.steps import CHECKPOINT
from respo_train.host.load import load_unet
from respo_train.host.outline import CPU, outliner
from respo_train.host.split_unet import HostUNet
from respo_train.plan.count import count_step
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.trainer import gradients, settings_of, start

CARD = torch.device("cuda")  # it need not be here
GB = 1e9
SPEEDS = (60, 20)  # TFLOP/s that a card sustains
# Family, pixels, batch and precision of each row.
COUNTED = [
    ("sd15", 512, 8, torch.bfloat16),
    ("sd15", 512, 8, torch.float32),
    ("sdxl", 1024, 1, torch.bfloat16),
    ("sdxl", 1024, 2, torch.bfloat16),
    ("sdxl", 1024, 2, torch.float32),
]
# Pixels and batch of the steps that are really run: minutes on two cores.
MEASURED = {"emoji": (128, 8), "sd15": (256, 2), "sdxl": (256, 1)}
TITLES = {"sd15": "SD 1.5", "sdxl": "SDXL"}


def configuration(batch: int) -> TrainConfig:
    """Return the preset gender, with trajectories as short as they can be; their length changes nothing in a step."""
    return read_config("gender", {"batch": batch, "trajectory_steps": 2, "probe": {"nobody": []}})


def counted(family: str, pixels: int, batch: int, dtype: torch.dtype) -> dict[str, Any]:
    """Return what a step of both concepts takes on a card, without and with checkpointing; minutes of 1,000 steps."""
    model, config = host_model(family, torch.float32, torch.device("meta")), configuration(batch)
    row: dict[str, Any] = {}
    for name, checkpointing in (("kept", False), ("recomputed", True)):
        cost = count_step(config, outliner(model, CARD, dtype, (pixels, pixels), checkpointing))
        row[f"{name}_gb"] = (cost.weights + len(config.concepts) * cost.kept + cost.peak) / GB
        row[f"{name}_tflop"] = tflop = len(config.concepts) * cost.flops / 1e12
        fast, slow = (1000 * tflop / speed / 60 for speed in SPEEDS)
        row[f"{name}_minutes"] = f"{fast:.0f} to {slow:.0f}"
    return row


def measured(name: str) -> dict[str, Any]:
    """Run one concept's step on the processor; return its bytes beside those that were counted."""
    pixels, batch = MEASURED[name]
    config = configuration(batch)
    if name == "emoji":
        unet: Any = load_unet(CHECKPOINT, "float32")
    else:
        unet = WithRandomText(unet_of_few_numbers(name, pixels))
        unet.use_checkpointing(False)
    cost = count_step(config, outliner(unet._patcher.model, CPU, torch.float32, (pixels, pixels), False))
    setting = next(iter(settings_of(config, unet).values()))
    state = start(setting)
    peak = peak_bytes(lambda: gradients(setting, state, 0))
    return {
        "weights": cost.weights,
        "counted": cost.peak,
        "measured": peak,
        "ratio_of_activations": cost.peak / peak,
        "ratio_of_all": (cost.weights + cost.peak) / (cost.weights + peak),
    }


def unet_of_few_numbers(family: str, pixels: int) -> HostUNet:
    """Return a U-Net for pictures of `pixels`, all of whose weights are parts of the same random numbers.

    What a step takes beside its weights does not depend on them.
    """
    model = host_model(family, torch.float32, torch.device("meta"))
    network = model.diffusion_model
    longest = max(parameter.numel() for parameter in network.parameters())
    numbers = torch.empty(longest).uniform_(-0.02, 0.02, generator=torch.Generator().manual_seed(0))
    for module in network.modules():
        for name, own in list(module.named_parameters(recurse=False)):
            value = numbers[: own.numel()].view(own.shape) if own.ndim > 1 or name == "bias" else torch.ones(own.shape)
            setattr(module, name, torch.nn.Parameter(value, requires_grad=False))
    return HostUNet(SimpleNamespace(model=model), None, None, CPU, torch.float32, (pixels, pixels))


def rows(options: Namespace) -> Iterator[Row]:
    """Yield what each of COUNTED takes, or what one of MEASURED does."""
    if options.measure:
        pixels, batch = MEASURED[options.measure]
        yield f"{options.measure}, {pixels} px, batch {batch}, float32, one concept", measured(options.measure)
        return
    for family, pixels, batch, dtype in COUNTED:
        yield f"{TITLES[family]}, {pixels} px, batch {batch}, {dtype}", counted(family, pixels, batch, dtype)


OPTIONS = {"--measure": {"choices": sorted(MEASURED), "help": "run a real step of this shape on the processor"}}

if __name__ == "__main__":
    sys.exit(run("training_memory", __doc__, rows, OPTIONS))
