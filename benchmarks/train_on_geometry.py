"""One real training job on the U-Net of SD 1.5 or SDXL with random weights (bf16).

`python -m benchmarks.train_on_geometry sd15|sdxl [--size PX] [--steps N] [--json FILE]` runs it without a break, then
interrupts and resumes it, and checks that both end in the same bits.

Nothing can be learned from random weights: what is shown is that a job runs, what it writes, what a step costs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.command import at_least, parser_of, write_figures
from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.architecture import Architecture
from respo_train.core.module.attribute import Attribute
from respo_train.job import Stopped, state_path, train_to_file
from respo_train.latents.randomness import keyed_noise
from respo_train.network import Conditioning, SplitNetwork
from respo_train.provenance import Base
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.trainer import TrainState

from .speed.cost import process_bytes
from .speed.geometry import TOKENS, random_unet

# How many pixels wide one place of h is; it has 1280 channels in both families.
PIXELS_OF_A_PLACE = {"sd15": 64, "sdxl": 32}
CHANNELS = 1280
# Two trajectories of two steps: one is advanced before the first optimizer step, and both begin anew within three.
BATCH = TRAJECTORY_STEPS = 2
RANDOM = Base("random weights", "0" * 64)


@dataclass
class WithRandomText:
    """A SplitNetwork without a text encoder, given prompts as `random_text` makes them."""

    unet: SplitNetwork

    def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
        """Return the same random tensors for the same text."""
        like = self.unet.alphas_cumprod
        return [random_text(prompt, self.unet.architecture, like) for prompt in prompts]

    def __getattr__(self, name: str) -> Any:
        """Everything else is the U-Net's."""
        return getattr(self.unet, name)


def random_text(prompt: str, architecture: Architecture, like: Tensor) -> Conditioning:
    """Return standard noise that depends on `prompt`: `[1, 77, D]` and, for SDXL, `[1, A]`; no word tokens."""
    context = keyed_noise((1, TOKENS, architecture.context_dim), prompt, "context").to(like)
    if not architecture.adm_channels:
        return Conditioning(context)
    return Conditioning(context, keyed_noise((1, architecture.adm_channels), prompt, "added").to(like))


@dataclass
class Clock:
    """A watcher: when each step ended, by the wall and by the processor, and a stop after step `stop_after`."""

    stop_after: int | None = None
    ends: list[tuple[float, float]] = field(default_factory=list)

    def after_step(self, state: TrainState) -> None:
        self.ends.append(now())
        if state.step == self.stop_after:
            raise Stopped

    def finish(self, state: TrainState) -> None:
        """Nothing is left to do."""

    def gaps(self) -> list[tuple[float, float]]:
        """Each step's seconds but the first's, which has the start of the trajectories in it."""
        return [since(before, after) for before, after in zip(self.ends, self.ends[1:], strict=False)]


def now() -> tuple[float, float]:
    """Return the wall's clock and the processor's: on a busy machine the second says more."""
    return time.perf_counter(), time.process_time()


def since(before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float]:
    """Return the seconds between two readings of both clocks."""
    return after[0] - before[0], after[1] - before[1]


def train_both_ways(config: TrainConfig, unet: SplitNetwork, folder: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    """Train without a break, then stop before the last step and resume; check both files, return what was measured.

    `shape`: what each part of the module has to have. Raises RespoError naming what is wrong.
    """
    whole, parts = folder / "whole.safetensors", folder / "parts.safetensors"
    clocks = [Clock(), Clock(config.steps - 1), Clock()]
    started = now()
    train_to_file(config, unet, RANDOM, whole, [clocks[0]])
    with suppress(Stopped):
        train_to_file(config, unet, RANDOM, parts, [clocks[1]])
    train_to_file(config, unet, RANDOM, parts, [clocks[2]], resume=True)
    if [len(clock.ends) for clock in clocks] != [config.steps, config.steps - 1, 1]:
        raise RespoError(f"expected {config.steps} steps, and {config.steps - 1} and 1; the run did not resume")
    found = load_attribute(whole)
    check_module(found, shape)
    check_same(found, load_attribute(parts))
    wall, cpu = zip(*(gap for clock in clocks for gap in clock.gaps()), strict=True)
    first_wall, first_cpu = since(started, clocks[0].ends[0])
    return {
        "seconds_per_step": statistics.median(wall),
        "cpu_seconds_per_step": statistics.median(cpu),
        "steps_timed": len(wall),
        "seconds_of_first_step": first_wall,
        "cpu_seconds_of_first_step": first_cpu,
        "module_bytes": whole.stat().st_size,
        "state_bytes": state_path(whole).stat().st_size,
        "shape": list(shape),
        "largest_values": {name: float(tensor.abs().max()) for name, tensor in tensors_of(found).items()},
    }


def tensors_of(attribute: Attribute) -> dict[str, Tensor]:
    """Return every concept's parts, `[C, H, W]` each, and what its map of h is made of, where it has one."""
    parts: dict[str, Tensor] = {}
    for name, module in attribute.concepts.items():
        parts[f"{name}.responsible"] = module.responsible.value().detach()
        parts[f"{name}.semantic"] = module.semantic.value().detach()
        if module.map is not None:
            parts |= {f"{name}.map.{part}": value.detach() for part, value in module.map.named_parameters()}
    return parts


def check_module(attribute: Attribute, shape: tuple[int, ...]) -> None:
    """Raise RespoError unless the parts but the map have `shape`, and all is finite and has been trained."""
    for name, tensor in tensors_of(attribute).items():
        if ".map." not in name and tensor.shape != shape:
            raise RespoError(f"expected {name} of shape {list(shape)}, found {list(tensor.shape)}")
        if not tensor.isfinite().all() or not tensor.any():
            raise RespoError(f"expected finite numbers in {name}, not all of them zero; training did not work")


def check_same(whole: Attribute, resumed: Attribute) -> None:
    """Raise RespoError unless both hold the same bits."""
    others = tensors_of(resumed)
    for name, tensor in tensors_of(whole).items():
        if not torch.equal(tensor, others[name]):
            distance = float((tensor - others[name]).abs().max())
            raise RespoError(f"expected the same {name} after an interruption, found one that differs by {distance}")


def measure(family: str, size: int, steps: int) -> dict[str, Any]:
    """Train on `family` at `size` pixels; return what was measured. Raises RespoError."""
    # No probe of prompts: it is fitted to words, and the text here is random.
    changes = {
        "steps": steps,
        "batch": BATCH,
        "trajectory_steps": TRAJECTORY_STEPS,
        "preview": [],
        "probe": {"nobody": []},
    }
    config = read_config("gender", {**changes, "width": size, "height": size}, "respo")
    started = time.perf_counter()
    unet = WithRandomText(random_unet(family, torch.bfloat16, size))
    figures: dict[str, Any] = {"family": family, "pixels": size, "steps": steps, "batch": BATCH}
    figures["concepts"] = list(config.concepts)
    figures["precision"], figures["device"] = "bfloat16", unet.alphas_cumprod.device.type
    figures["threads"] = torch.get_num_threads()
    figures["seconds_to_build"] = time.perf_counter() - started
    place = size // PIXELS_OF_A_PLACE[family]
    with tempfile.TemporaryDirectory() as folder:
        figures |= train_both_ways(config, unet, Path(folder), (CHANNELS, place, place))
    return {**figures, "seconds": time.perf_counter() - started, **peak_memory()}


def peak_memory() -> dict[str, int]:
    """Return the most bytes that the process held, where the system says so, and the most on a GPU, if there is one."""
    held = process_bytes()
    found = {} if held is None else {"process_peak_bytes": held}
    if torch.cuda.is_available():
        found["gpu_peak_bytes"] = torch.cuda.max_memory_allocated()
    return found


def main() -> int:
    """Train, check, print, write; returns the exit status."""
    options = _options()
    try:
        figures = measure(options.family, options.size, options.steps)
    except RespoError as error:
        print(f"train_on_geometry: {error}", file=sys.stderr)
        return 2
    for name, value in figures.items():
        print(f"{name}: {value:.1f}" if isinstance(value, float) else f"{name}: {value}")
    write_figures(options.json, figures)
    return 0


def _options() -> Namespace:
    parser = parser_of("train_on_geometry", __doc__)
    parser.add_argument("family", choices=sorted(PIXELS_OF_A_PLACE))
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="of the pictures trained on (default 256)")
    # Two at least, so that the run can be interrupted.
    parser.add_argument("--steps", type=at_least(2), default=3, metavar="N", help="optimizer steps (default 3)")
    options = parser.parse_args()
    if options.size < 64 or options.size % 64:
        parser.error(f"argument --size: expected a multiple of 64 pixels, found {options.size}")
    return options


if __name__ == "__main__":
    sys.exit(main())
