"""`python -m benchmarks.train_on_geometry sd15|sdxl`: a real training job on such a U-Net (bf16).

Its weights are random, so nothing can be learned: what is shown is that a job runs, what it writes, what a step costs.
It runs without a break, then once more with a break; both must end in the same numbers.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.command import Options, Row, run, whole
from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.attribute import Attribute
from respo_train.job import Stopped, state_path, train_to_file
from respo_train.network import SplitNetwork
from respo_train.provenance import Base
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.trainer import TrainState

from .speed.cost import clock, process_bytes
from .speed.geometry import WithRandomText, random_unet

# How many pixels wide one place of h is; it has 1280 channels in both families.
PIXELS_OF_A_PLACE = {"sd15": 64, "sdxl": 32}
CHANNELS = 1280
# Two trajectories of two steps: one is advanced before the first optimizer step, and both begin anew within three.
BATCH = TRAJECTORY_STEPS = 2
RANDOM = Base("random weights", "0" * 64)


@dataclass
class Watcher:
    """Notes when each step ended, and stops the run after step `stop_after`."""

    stop_after: int | None = None
    now: Callable[[], float] = field(default_factory=clock)
    ends: list[float] = field(default_factory=list)

    def after_step(self, state: TrainState) -> None:
        self.ends.append(self.now())
        if state.step == self.stop_after:
            raise Stopped

    def finish(self, state: TrainState) -> None:
        """Nothing is left to do."""

    def gaps(self) -> list[float]:
        """Each step's seconds but the first's, which has the start of the trajectories in it."""
        return [after - before for before, after in zip(self.ends, self.ends[1:], strict=False)]


def train_both_ways(config: TrainConfig, unet: SplitNetwork, folder: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    """Train without a break, then stop before the last step and resume; check both files, return what was measured.

    `shape`: what each part of the module has to have. Raises RespoError naming what is wrong.
    """
    whole, parts = folder / "whole.safetensors", folder / "parts.safetensors"
    watchers = [Watcher(), Watcher(config.steps - 1), Watcher()]
    train_to_file(config, unet, RANDOM, whole, [watchers[0]])
    with suppress(Stopped):
        train_to_file(config, unet, RANDOM, parts, [watchers[1]])
    train_to_file(config, unet, RANDOM, parts, [watchers[2]], resume=True)
    if [len(watcher.ends) for watcher in watchers] != [config.steps, config.steps - 1, 1]:
        raise RespoError(f"expected {config.steps} steps, and {config.steps - 1} and 1; the run did not resume")
    check_module(load_attribute(whole), shape)
    numbers, resumed = load_file(whole), load_file(parts)
    for name, tensor in numbers.items():
        if not torch.equal(tensor, resumed[name]):
            raise RespoError(f"expected the same {name} after an interruption, found others")
    gaps = [gap for watcher in watchers for gap in watcher.gaps()]
    return {
        "seconds_per_step": statistics.median(gaps),
        "steps_timed": len(gaps),
        "module_bytes": whole.stat().st_size,
        "state_bytes": state_path(whole).stat().st_size,
        "shape": list(shape),
    }


def check_module(attribute: Attribute, shape: tuple[int, ...]) -> None:
    """Raise RespoError unless both parts have `shape`, and all that was trained is finite and not zero."""
    for name, module in attribute.concepts.items():
        parts = {"responsible": module.responsible.value(), "semantic": module.semantic.value()}
        maps = dict(module.map.named_parameters(prefix="map")) if module.map is not None else {}
        for part, tensor in {**parts, **maps}.items():
            if part in parts and tensor.shape != shape:
                raise RespoError(f"expected {name}.{part} of shape {list(shape)}, found {list(tensor.shape)}")
            if not tensor.isfinite().all() or not tensor.any():
                raise RespoError(f"expected finite numbers in {name}.{part}, not all of them zero: nothing was learned")


def rows(options: Namespace) -> Iterator[Row]:
    """Yield what the job took. Raises RespoError."""
    family, size = options.family, options.size
    place = size // PIXELS_OF_A_PLACE[family]
    if size % PIXELS_OF_A_PLACE["sd15"]:
        raise RespoError(f"--size: expected a multiple of 64 pixels, found {size}")
    changes = {"steps": options.steps, "batch": BATCH, "trajectory_steps": TRAJECTORY_STEPS, "preview": []}
    # No probe of prompts: it is fitted to words, and the text here is random.
    config = read_config("gender", {**changes, "probe": {"nobody": []}, "width": size, "height": size}, "respo")
    unet: Any = WithRandomText(random_unet(family, torch.bfloat16, size))
    with tempfile.TemporaryDirectory() as folder:
        figures = train_both_ways(config, unet, Path(folder), (CHANNELS, place, place))
    figures["process_peak_bytes"] = process_bytes()
    if torch.cuda.is_available():
        figures["gpu_peak_bytes"] = torch.cuda.max_memory_allocated()
    yield f"{family}, {size} px, batch {BATCH}, {len(config.concepts)} concepts, bfloat16", figures


OPTIONS: Options = {
    "family": {"choices": sorted(PIXELS_OF_A_PLACE), "help": "whose U-Net"},
    "--size": whole("pixels of the pictures trained on", 256, 64),
    # Two at least, so that the run can be interrupted.
    "--steps": whole("optimizer steps", 3, 2),
}

if __name__ == "__main__":
    sys.exit(run("train_on_geometry", __doc__, rows, OPTIONS))
