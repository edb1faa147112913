"""What Train Module does: build a configuration, train on the linked model, and keep the result.

The trainer is imported only when it is used: it needs more packages, and the other nodes must load without them.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ...respo_train.core.errors import RespoError
from ...respo_train.core.files.checkpoint import load_attribute
from ...respo_train.core.files.write import make_folder
from ...respo_train.core.module.fingerprint import fingerprint
from ..shared.guard import own_weight
from .progress import Cancel, HostProgress

if TYPE_CHECKING:
    from ...respo_train.job import Base
    from ...respo_train.settings.config import TrainConfig

Existing = Literal["continue", "start anew", "refuse"]
EXISTING: tuple[Existing, ...] = get_args(Existing)
CHECKPOINTING = ("auto", "on", "off")
OWN_RECIPE = "the preset's"
_TRAINER = Path(__file__).resolve().parents[2] / "respo_train" / "settings"
_PACKAGES = ("pydantic", "matplotlib", "jinja2", "tqdm", "PIL")  # what only training needs
# What to do about the trainer's errors: see `core.errors.Remedy`.
WIDGETS = {
    "batch": "set batch to {} in the preset",
    "checkpoint": "link the same model",
    "compile": "compile the model as before",
    "out": "choose another name",
    "overwrite": "choose existing: start anew",
    "picture_guidance": "try a lower picture_guidance in the preset",
    "plain": "leave the model as it is loaded, without compiling it",
    "precision": "let ComfyUI run the model in {}",
    "processes": "start ComfyUI as one process",
    "resume": "choose existing: continue",
    "steps": "set steps to {} or more",
}


def shipped(kind: Literal["presets", "recipes"]) -> list[str]:
    """Return the names of the presets or recipes that ship with the trainer."""
    return sorted(path.stem for path in (_TRAINER / kind).glob("*.toml"))


def configuration(
    preset: str,
    custom_preset: str,
    recipe: str = OWN_RECIPE,
    steps: int = 0,
    seed: int = 0,
    checkpointing: str = CHECKPOINTING[0],
) -> TrainConfig:
    """Build a configuration from the widgets' values. `custom_preset` replaces `preset`. Raises RespoError."""
    _require_packages()
    from ...respo_train.settings.preset_files import parse_config, read_config

    overrides: dict[str, Any] = {"seed": seed, **({"steps": steps} if steps else {})}
    if checkpointing != CHECKPOINTING[0]:  # a line in custom_preset may say so, too
        overrides["checkpointing"] = checkpointing
    wanted = None if recipe == OWN_RECIPE else recipe
    if custom_preset.strip():
        return parse_config(custom_preset, "custom_preset", overrides, wanted)
    if preset not in shipped("presets"):  # a path in a stranger's workflow
        raise RespoError(f"expected one of the presets {', '.join(shipped('presets'))}, found {preset[:80]!r}.")
    return read_config(preset, overrides, wanted)


def run(
    config: TrainConfig, model: Any, clip: Any, vae: Any, path: Path, existing: Existing, preview_every: int
) -> tuple[str, Path | None]:
    """Train `config` on a host MODEL and write `path`, unless `path` already holds the finished module.

    Return a few lines of text to show, and the last sheet of pictures.

    Raises RespoError, and whatever the host raises when the user cancels.
    """
    from ...respo_train.host.borrow import borrowed
    from ...respo_train.job import Base, training_folder
    from ...respo_train.report.sheet import sheet_path

    with borrowed(model, clip, vae, size=config.size, batch=config.batch, block=config.block or 0) as loan:
        base = Base(_name_of(model), loan.sha256)
        # From the checkpoint's original weight, as in Apply Module and Balance: a LoRA does not make it another one.
        loan.unet.fingerprint = fingerprint(own_weight(model, config.block or 0))
        if existing == "continue" and _is_finished(path, config, base):
            told = ["Already trained: used as it is"]
        else:
            told = _train(config, loan.unet, base, path, existing, 0 if vae is None else preview_every)
    sheet = sheet_path(training_folder(path), config.steps)
    return "\n".join(told), sheet if sheet.is_file() else None


def _train(config: TrainConfig, unet: Any, base: Base, path: Path, existing: Existing, preview_every: int) -> list[str]:
    """Train into `path`; return what to show, a warning for each concept with almost no effect or far too much."""
    from ...respo_train.host.planned import prepare
    from ...respo_train.job import train_to_file
    from ...respo_train.report import Report

    began, cancel, plan = time.monotonic(), Cancel(), prepare(unet, config)
    planned, advice = ([], "") if plan is None else ([plan.sentence()], plan.when_out_of_memory())
    for line in planned:
        logging.info("Respo: %s", line)
    choice: dict[str, Any] = {"resume": existing == "continue", "overwrite": existing == "start anew", "advice": advice}
    try:
        make_folder(path.parent)
        report = Report(config, unet, base, path, preview_every)
        progress = HostProgress(report, config.steps, cancel, unet)
        with cancel.held_back():
            train_to_file(config, unet, base, path, [progress], **choice)
    except OSError as error:
        raise RespoError(f"cannot write {path}: {error.strerror or error}.") from error
    except RespoError as error:
        raise type(error)(error.worded(WIDGETS)) from error
    warnings = (f"{name}: {warning}" for name, warning in report.verdicts.items())
    return [f"{config.steps} steps, {time.monotonic() - began:.0f} s", *planned, *warnings]


def _is_finished(path: Path, config: TrainConfig, base: Base) -> bool:
    """Return whether `path` holds the result of training `config` on `base`."""
    if not path.is_file():
        return False
    found = load_attribute(path)
    same = found.training.get("config") == config.trained() and found.base.get("sha256") == base.sha256
    # If only the words differ, continuing from the last step rewrites them.
    same = same and found.words == config.words
    return same and found.training.get("steps_done") == config.steps


def _name_of(model: Any) -> str:
    """Return a description of the model, as a node does not know which file its model came from."""
    patches = len(model.patches)
    return "a model loaded in ComfyUI" + (f", with {patches} of its weights patched (LoRA)" if patches else "")


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise RespoError(
            f"training needs the Python packages {', '.join(missing)}, which are not installed. Install them into "
            "ComfyUI's Python with pip, and restart ComfyUI."
        )
