"""The metadata in a module on how it was made: everything needed to train it again."""

from __future__ import annotations

import datetime
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .core.errors import ModuleFileError, RespoError
from .core.files.checkpoint import file_sha256
from .core.module.attribute import Attribute
from .core.module.probe import PromptProbe
from .network import SplitNetwork
from .objectives import OBJECTIVES
from .settings.config import TrainConfig
from .team import ALONE, Team
from .trainer import TrainState


@dataclass(frozen=True)
class Base:
    """The checkpoint that a module is trained on. `path` is stored only in the state, for `resume`."""

    name: str
    sha256: str
    path: str = ""

    @classmethod
    def of(cls, path: Path) -> Base:
        """Return name and hash of the file at `path`. Raises RespoError when it cannot be read."""
        try:
            return cls(path.name, file_sha256(path), str(path.absolute()))
        except ModuleFileError as error:
            raise RespoError(f"no checkpoint to read: {error}") from error

    def to_dict(self) -> dict[str, str]:
        """Return the values that a module file stores of its base."""
        return {"name": self.name, "sha256": self.sha256}


def attribute_of(
    config: TrainConfig,
    unet: SplitNetwork,
    base: Base,
    state: TrainState,
    team: Team = ALONE,
    probe: PromptProbe | None = None,
) -> Attribute:
    """Return the current modules and their `probe` as an attribute, with all that is needed to train it again."""
    training: dict[str, Any] = {
        "objective": config.objective,
        "recipe": config.recipe,
        "half": OBJECTIVES[config.objective].half,
        "config": config.trained(),
        "steps_done": state.step,
        "versions": {"respo": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "compute": compute_of(unet, team),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "licence": config.licence,
    }
    origin = {**base.to_dict(), "fingerprint": list(unet.fingerprint)}
    modules, words = state.modules(), config.words
    return Attribute(config.attribute, config.purpose, modules, unet.architecture, origin, training, words, probe)


def compute_of(unet: SplitNetwork, team: Team = ALONE) -> dict[str, Any]:
    """Return how the network computes, as far as this can change the last digits of a result."""
    own = dict(getattr(unet, "compute", {"precision": "float32"}))
    return {**own, "device": unet.alphas_cumprod.device.type, "processes": team.size}
