"""One training job: a configuration and a checkpoint in, a module file and its loss plot out."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .config import TrainConfig
from .core.attribute import Attribute, check_name
from .core.checkpoint import file_sha256, save_attribute
from .core.errors import RespoError
from .network import SplitUNet
from .report import save_loss_plot
from .trainer import OnStep, TrainState, train

SAVE_EVERY = 100


@dataclass(frozen=True)
class Base:
    """The checkpoint that a module is trained on."""

    name: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Base:
        """Name and hash of the file at `path`."""
        return cls(path.name, file_sha256(path))


def check_job(config: TrainConfig, out: Path) -> None:
    """Find what would only fail at the end: names that cannot be stored, a folder that cannot be written.

    Raises RespoError.
    """
    check_name("attribute", config.attribute)
    for name in config.concepts:
        check_name("concept", name)
    if out.suffix != ".safetensors":
        raise RespoError(f"expected an output file that ends in .safetensors, found {out.name!r}")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise RespoError(f"cannot write into {out.parent}: make that folder, or choose one that can be written")
    if out.is_dir():
        raise RespoError(f"expected the name of a file to write, but {out} is a folder")


def train_to_file(
    config: TrainConfig, unet: SplitUNet, base: Base, out: Path, on_step: OnStep | None = None
) -> Attribute:
    """Train, keep the module at `out` every 100 steps and at the end, and draw `out` with the ending .losses.png."""
    check_job(config, out)

    def after_step(state: TrainState) -> None:
        if state.step % SAVE_EVERY == 0 and state.step < config.steps:
            save_attribute(out, attribute_of(config, unet, base, state))
        if on_step is not None:
            on_step(state)

    state = train(config, unet, after_step)
    attribute = attribute_of(config, unet, base, state)
    save_attribute(out, attribute)
    save_loss_plot(out.with_suffix(".losses.png"), {name: c.losses for name, c in state.concepts.items()})
    return attribute


def attribute_of(config: TrainConfig, unet: SplitUNet, base: Base, state: TrainState) -> Attribute:
    """Return the modules as they are now, with all that is needed to train them again."""
    training: dict[str, Any] = {
        "objective": config.objective,
        "config": config.to_dict(),
        "steps_done": state.step,
        "versions": {"respo": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "licence": config.licence,
    }
    origin = {"name": base.name, "sha256": base.sha256, "fingerprint": list(unet.fingerprint)}
    return Attribute(config.attribute, config.purpose, state.modules(), unet.architecture, origin, training)
