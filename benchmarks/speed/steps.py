"""One optimizer step of either loop, ready to be called again and again."""

from __future__ import annotations

from collections.abc import Callable

from respo_train.network import SplitNetwork
from respo_train.prompts import encode_prompts
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.trainer import gradients, settings_of, start

from .released import Released

CONCEPT = "woman"
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
