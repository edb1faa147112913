"""The commands `train` and `resume`: from their options to a training job."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..core.errors import RespoError
from ..host import load
from ..host.planned import prepare
from ..job import Stopped, Watcher, check_job, state_path, train_to_file, training_folder
from ..report import Report
from ..report.progress import Progress
from ..resume import read_saved
from ..settings.config import TrainConfig
from ..settings.preset_files import check_config, read_config
from ..team import join_team, leave_team
from .messages import say
from .model import Model, base_of, model_of, required_model
from .signals import StopSignals

# Entries of a preset or recipe that are also command-line options.
_ENTRIES = ("steps", "seed", "batch", "lambda", "width", "height", "checkpointing")


def train(options: argparse.Namespace) -> int:
    """Train an attribute on a checkpoint; return the exit code."""
    config = configuration(options)
    return _run(config, options, None, options.precision, options.compile, resume=options.resume)


def configuration(options: argparse.Namespace) -> TrainConfig:
    """Return the configuration of the preset, the recipe and the options. Raises RespoError."""
    given = {key: vars(options)[key] for key in _ENTRIES if vars(options)[key] is not None}
    config = read_config(options.preset, given, options.recipe)
    own = [name for name, concept in config.concepts.items() if concept.semantic_weight is not None]
    if "lambda" in given and own:
        raise RespoError(f"--lambda has no effect on {own[0]!r}, which has its own lambda: change it in the preset")
    return config


def resume(options: argparse.Namespace) -> int:
    """Continue an interrupted run, or train a finished one for longer; return the exit code."""
    if options.file.suffix != ".safetensors":
        raise RespoError(f"expected the module file of a run, NAME.safetensors, found {str(options.file)!r}")
    state = state_path(options.file)
    if not state.is_file():
        raise RespoError(f"no saved run at {state}. Start one with: python -m respo_train train --help")
    saved = read_saved(state).identity
    changes = {key: vars(options)[key] for key in ("steps", "checkpointing") if vars(options)[key] is not None}
    config = check_config({**saved.config, **changes}, str(state))
    named = model_of(options)
    if named is None and not saved.checkpoint:
        raise RespoError(f"this run is on {saved.base['name']}: give these files again with --unet and --clip")
    model = named or Path(saved.checkpoint)
    if named is None:  # the state alone says what is opened, so it may name no file that can hold code
        say(f"goes on with the checkpoint that the saved run names: {model}")
        if Path(saved.checkpoint).suffix != ".safetensors":
            raise RespoError(
                f"expected the saved run to name a .safetensors file, found "
                f"{saved.checkpoint[:200]!r}. Say yourself what to open, with --checkpoint PATH"
            )
    if isinstance(model, Path) and not model.is_file():
        raise RespoError(f"no checkpoint at {model}. Give its new place with --checkpoint PATH")
    options.out, options.overwrite = options.file, False
    return _run(config, options, model, "auto", bool(saved.compute.get("compiled")), resume=True)


def _run(
    config: TrainConfig,
    options: argparse.Namespace,
    model: Model | None,
    precision: load.Precision,
    compiled: bool,
    resume: bool,
) -> int:
    out: Path = options.out
    team = join_team()
    if options.save_every < 1 or options.preview_every < 0:
        raise RespoError("expected --save-every of at least 1 and --preview-every of at least 0 (never)")
    choice: dict[str, Any] = {"resume": resume, "overwrite": options.overwrite}
    check_job(config, out, **choice)
    model = model or required_model(options)
    base = base_of(model)
    check_job(config, out, base, **choice)
    precision = _precision(precision, out, resume)
    unet = load.load_unet(model, precision, config.size, compile=compiled, block=config.block or 0)
    plan = prepare(unet, config, team)
    if team.leads:
        say(f"{', '.join(config.concepts)} on {unet.architecture.describe()}: {config.steps} steps, {_how(config)}")
        if plan is not None:
            say(plan.sentence())
    try:
        with ExitStack() as stack:
            # Last, so that the other watchers are done with a step when this one ends the run.
            stop = stack.enter_context(StopSignals(team))
            progress = stack.enter_context(Progress(config.steps))
            watchers: list[Watcher] = []
            if team.leads:
                watchers = [progress, Report(config, unet, base, out, options.preview_every), stop]
            advice = "" if plan is None else plan.when_out_of_memory()
            choice |= {"team": team, "save_every": options.save_every, "advice": advice}
            train_to_file(config, unet, base, out, watchers, **choice)
    except Stopped as stopped:
        if team.leads:
            say(f"{stopped}: all is saved. Go on with: python -m respo_train resume {out}", sys.stderr)
        leave_team()
        return 130
    leave_team()
    if team.leads:
        say(f"wrote {out} and {out.with_suffix('.html')}; {training_folder(out)} is only needed to train longer")
    return 0


def _precision(asked: load.Precision, out: Path, resume: bool) -> load.Precision:
    """Return the saved run's precision if `asked` is auto: a run must keep its precision."""
    state = state_path(out)
    if asked == "auto" and resume and state.exists():
        saved = read_saved(state).identity.compute.get("precision")
        return saved if saved in ("float32", "bfloat16") else "auto"
    return asked


def _how(config: TrainConfig) -> str:
    return f"objective {config.objective}, recipe {config.recipe}"
