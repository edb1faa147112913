"""`python -m benchmarks.training_memory [--measure NAME] [--json FILE]`: memory and work of a training step.

Without options: what the plan counts for SD 1.5 and SDXL on a graphics card, and the lines that README has of it.
`--measure emoji|sd15|sdxl` runs a real step on this machine's processor in float32 (with random weights, but for Emoji
World) and compares what it takes with what was counted. All weights share one piece of memory, so that SDXL needs 4 GB.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks.command import parser_of, write_figures
from benchmarks.evidence.bench import BENCH
from benchmarks.speed.cost import peak_bytes, process_bytes
from benchmarks.speed.geometry import host_model
from benchmarks.train_on_geometry import WithRandomText
from respo_train.host.load import load_unet
from respo_train.host.outline import CPU, outliner
from respo_train.host.split_unet import HostUNet
from respo_train.network import SplitNetwork
from respo_train.plan.count import StepCost, count_step
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.trainer import gradients, settings_of, start

CARD = torch.device("cuda")  # it need not be here
GB = 1e9
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
    """Return what a step of both concepts takes on a card, without and with checkpointing."""
    model, config = host_model(family, torch.float32, torch.device("meta")), configuration(batch)
    row: dict[str, Any] = {
        "family": family,
        "pixels": pixels,
        "batch": batch,
        "dtype": str(dtype).removeprefix("torch."),
    }
    for name, checkpointing in (("kept", False), ("recomputed", True)):
        cost = count_step(config, outliner(model, CARD, dtype, (pixels, pixels), checkpointing))
        row[f"{name}_gb"] = (cost.weights + len(config.concepts) * cost.kept + cost.peak) / GB
        row[f"{name}_tflop"] = len(config.concepts) * cost.flops / 1e12
    return row


def readme_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return what README says of the two usual trainings."""
    lines = []
    for family, pixels, batch in (("sd15", 512, 8), ("sdxl", 1024, 2)):
        row = next(r for r in rows if (r["family"], r["batch"], r["dtype"]) == (family, batch, "bfloat16"))
        fast, slow = (1000 * row["kept_tflop"] / speed / 60 for speed in (60, 20))
        lines.append(
            f"{TITLES[family]} at {pixels} px, batch {batch}: {row['kept_tflop']:.0f} TFLOP a step, 1,000 steps in "
            f"{fast:.0f} to {slow:.0f} minutes at 60 to 20 TFLOP/s, in {row['kept_gb']:.1f} GB; with checkpointing "
            f"{row['recomputed_tflop']:.0f} TFLOP in {row['recomputed_gb']:.1f} GB; and about 1 GB for the card itself"
        )
    return lines


def measured(name: str) -> dict[str, Any]:
    """Run one concept's step on the processor; return its bytes beside those that were counted."""
    pixels, batch = MEASURED[name]
    config = configuration(batch)
    if name == "emoji":
        unet: SplitNetwork = load_unet(BENCH / "checkpoint" / "emoji_world.safetensors", "float32")
        model = unet._patcher.model  # type: ignore[attr-defined]
    else:
        unet = WithRandomText(unet_of_few_numbers(name, pixels))
        model = unet.unet._patcher.model  # type: ignore[attr-defined]
        unet.use_checkpointing(False)
    cost = count_step(config, outliner(model, CPU, torch.float32, (pixels, pixels), False))
    setting = next(iter(settings_of(config, unet).values()))
    state = start(setting)
    before = process_bytes()
    peak = peak_bytes(lambda: gradients(setting, state, 0))
    after = process_bytes()
    grown = None if before is None or after is None else after - before
    return {"name": name, "pixels": pixels, "batch": batch, "grown": grown, **_ratios(cost, peak)}


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


def _ratios(cost: StepCost, peak: int) -> dict[str, Any]:
    return {
        "weights": cost.weights,
        "counted": cost.peak,
        "measured": peak,
        "ratio_of_activations": cost.peak / peak,
        "ratio_of_all": (cost.weights + cost.peak) / (cost.weights + peak),
    }


def main() -> int:
    """Count or measure, print, write; returns the exit status."""
    options = _options()
    if options.measure:
        figures: dict[str, Any] = measured(options.measure)
        for key, value in figures.items():
            print(f"{key}: {value:.3f}" if isinstance(value, float) else f"{key}: {value}")
    else:
        rows = []
        for shape in COUNTED:
            rows.append(counted(*shape))
            print(_row(rows[-1]), flush=True)
        figures = {"rows": rows, "readme": readme_lines(rows)}
        print("\n" + "\n".join(figures["readme"]))
    write_figures(options.json, figures)
    return 0


def _row(row: dict[str, Any]) -> str:
    return (
        f"{TITLES[row['family']]}, {row['pixels']} px, batch {row['batch']}, {row['dtype']}: "
        f"{row['kept_gb']:.1f} GB and {row['kept_tflop']:.1f} TFLOP; with checkpointing "
        f"{row['recomputed_gb']:.1f} GB and {row['recomputed_tflop']:.1f} TFLOP"
    )


def _options() -> Namespace:
    parser = parser_of("training_memory", __doc__)
    parser.add_argument("--measure", choices=sorted(MEASURED), help="run a real step of this shape on the processor")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
