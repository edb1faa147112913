"""One optimizer step of either loop, ready to be called again and again, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from benchmarks.command import Row
from benchmarks.evidence.bench import BENCH
from benchmarks.graph import UNET
from respo_train.host.load import load_unet
from respo_train.network import SplitNetwork
from respo_train.prompts import encode_prompts
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.trainer import gradients, settings_of, start

from .cost import flops, median_seconds, peak_bytes
from .geometry import WithRandomText, random_unet
from .released import Released, mean_trajectory

CHECKPOINT = BENCH / "checkpoint" / UNET.checkpoint
CONCEPT = "woman"
# The released step's cost is a straight line in k: two points give its mean.
SHORT, LONG = 1, 3
Step = Callable[[], object]


def configuration(recipe: str, **changes: object) -> TrainConfig:
    """Return the preset "gender" with a recipe."""
    return read_config("gender", changes, recipe)


def our_step(unet: SplitNetwork, batch: int, **changes: object) -> Step:
    """Return our step of one concept: the trainer's own functions, trajectories staggered already."""
    setting = settings_of(configuration("respo", batch=batch, **changes), unet)[CONCEPT]
    state = start(setting)
    done = 0

    def step() -> None:
        nonlocal done
        gradients(setting, state, done)
        for optimizer in state.optimizers.values():
            optimizer.step()
        done += 1

    return step


def released_step(unet: SplitNetwork, k: int) -> Step:
    """Return the released loop's step with a trajectory of `k` steps."""
    config = configuration("released")
    run = Released(unet, config, CONCEPT, encode_prompts(config, unet)[CONCEPT])
    return lambda: run.step(k)


def both(unet: Any) -> dict[str, Step]:
    """Return the steps of both loops, one latent each; the released one's with trajectories of SHORT and LONG steps."""
    return {"ours": our_step(unet, 1), "short": released_step(unet, SHORT), "long": released_step(unet, LONG)}


def at_mean(short: float, long: float) -> float:
    """Return the released step's mean cost from that of trajectories of SHORT and LONG steps."""
    slope = (long - short) / (LONG - SHORT)
    return short + slope * (mean_trajectory(configuration("released").trajectory_steps) - SHORT)


def ratio(found: Mapping[str, float], latents: int = 1, ours: str = "ours") -> dict[str, float]:
    """Return a cost of either step, and how many times as much the released one takes for each latent."""
    released = at_mean(found["short"], found["long"])
    return {"released": released, "ours": found[ours], "ratio": released * latents / found[ours]}


def on_emoji_world() -> Iterator[Row]:
    """Yield both steps' costs on Emoji World: alike, and ours at its own batch and the machine's own precision."""
    exact, own, batch = load_unet(CHECKPOINT, "float32"), load_unet(CHECKPOINT, "auto"), configuration("respo").batch
    steps = {**both(exact), "own": our_step(own, batch)}
    seconds = median_seconds(steps, rounds=5)
    peaks = {name: peak_bytes(step) for name, step in steps.items()}
    yield "Emoji World, a step, FLOPs", ratio({name: flops(step) for name, step in steps.items()})
    yield "Emoji World, a step, seconds", ratio(seconds)
    yield "Emoji World, a step, peak bytes", ratio(peaks)
    ours = f"ours in {own._dtype} and batches of {batch}"
    yield f"Emoji World, a latent, seconds, {ours}", ratio(seconds, batch, "own")
    yield f"Emoji World, a step, peak bytes, {ours}", ratio(peaks, ours="own")


def on_sd15(size: int = 256) -> Iterator[Row]:
    """Yield both steps' costs on SD 1.5's U-Net with random weights, at `size` pixels."""
    steps = both(WithRandomText(random_unet("sd15", torch.float32, size)))
    yield f"SD 1.5, {size} px, a step, FLOPs", ratio({name: flops(step) for name, step in steps.items()})
    yield f"SD 1.5, {size} px, a step, seconds", ratio(median_seconds(steps, rounds=1))
