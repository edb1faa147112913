"""The page about a run: one HTML file next to the module, with everything in it and nothing to load."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel

from .. import __version__
from ..core.errors import RespoError
from ..core.files.checkpoint import file_sha256, read_metadata
from ..core.files.header import opened
from ..core.module.architecture import Architecture
from ..job import training_folder
from ..provenance import Base
from ..settings.config import TrainConfig
from ..trainer import Losses
from .effect import Effect
from .pages import Cell, Grid, Item, Page, Section, write_page
from .plots import chart_svgs, effect_charts, loss_charts
from .sheet import Sheet

_STRIP, _FRAME = 6, 128  # pictures in the strip through time, at most; pixels of one
_NONE = "There are no previews of this run: none were asked for or reached, or the checkpoint has no autoencoder."
_HEAT_MAPS = "Attention heat maps: bright is where the concept is in a picture."


@dataclass(frozen=True)
class Run:
    """What was trained and how far: `step` steps are done."""

    config: TrainConfig
    architecture: Architecture
    base: Base
    out: Path
    step: int
    losses: Mapping[str, Sequence[Losses]]


def write_run_page(run: Run, effects: Mapping[int, Mapping[str, Effect]], sheets: Sequence[Sheet]) -> None:
    """Write the page next to the module, `gender.html` for `gender.safetensors`. Raises RespoError.

    `effects[step][concept]` and `sheets`, in order: what was seen on the way.
    """
    config = run.config
    chips = [
        (name, f"{'towards' if concept.target else 'away from'} “{concept.asked}”")
        for name, concept in config.concepts.items()
    ]
    settings = list(_settings(config.trained(), TrainConfig))
    heat_maps = [(path.stem, _content(path)) for path in sorted(training_folder(run.out).glob("heat-*.png"))]
    losses = chart_svgs(loss_charts(run.losses)) if run.step else []
    sections = [
        _before_and_after(config, sheets),
        Section("While it learned", "", [("grid", strip) for strip in _strips(sheets)]),
        *(_effect(config, step, effects[step]) for step in sorted(effects)[-1:]),
        Section("Losses", "Thin: every step. Thick: the mean of the last 20.", [("charts", losses)] * bool(losses)),
        Section("Where it looks", _HEAT_MAPS, [("pictures", heat_maps)] * bool(heat_maps)),
        Section("Configuration", "", [("table", (("entry", "value", "meaning"), settings))]),
        Section("Origin", "", [("origin", _origin(run))]),
    ]
    page = Page(
        kind=f"Respo module · {config.purpose}",
        title=config.attribute,
        about=f"a Respo module for {run.base.name}",
        chips=chips,
        items=[_status(run)],
        facts=_facts(run),
        sections=[section for section in sections if section.parts],
        footer=f"Put {run.out.name} into ComfyUI's folder models/respo and open it with the node Load Module.",
    )
    write_page(run.out.with_suffix(".html"), page)


def _status(run: Run) -> Item:
    again = f"python -m respo_train resume {run.out.name}"
    if run.step >= run.config.steps:
        return "good", "Finished", f"after {run.step} steps. To train it further:", f"{again} --steps {2 * run.step}"
    return "wait", "Stopped", f"at step {run.step} of {run.config.steps}. Nothing is lost; to go on:", again


def _before_and_after(config: TrainConfig, sheets: Sequence[Sheet]) -> Section:
    if not sheets:
        return Section("Before and after", "", [("lines", [_NONE])])
    trained = "not trained on" if config.preview else "trained on, as the preset names no others"
    note = f"Drawn after step {sheets[-1].step} from the same noise in every column, for prompts that it was {trained}."
    first, last = (
        Grid(s.columns, list(zip(s.prompts, s.pictures, strict=True)), s.pictures.shape[4])
        for s in (sheets[0], sheets[-1])
    )
    folded = (f"The first preview, after step {sheets[0].step}", ("grid", first))
    return Section("Before and after", note, [("grid", last), *[("folded", folded)] * (len(sheets) > 1)])


def _strips(sheets: Sequence[Sheet]) -> Iterator[Grid]:
    """Yield a grid for each concept: how the first picture of the first two prompts changed during training."""
    if len(sheets) < 2:
        return
    last, times = sheets[-1], sorted({round(i) for i in np.linspace(0, len(sheets) - 1, _STRIP - 1)})
    columns = ["before", *(f"step {sheets[time].step}" for time in times)]
    for column, name in enumerate(last.columns[1:], start=1):
        rows = [
            (prompt, [last.pictures[row, 0, :1], *(sheets[time].pictures[row, column, :1] for time in times)])
            for row, prompt in enumerate(last.prompts[:2])
        ]
        yield Grid(columns, rows, min(_FRAME, last.pictures.shape[4]), name)


def _effect(config: TrainConfig, step: int, effects: Mapping[str, Effect]) -> Section:
    note = f"Measured after step {step} on fresh noise, along the model's own drawing of the neutral prompt "
    items = [_verdict(config, name, effect) for name, effect in effects.items()]
    charts = chart_svgs(effect_charts(effects))
    return Section("Does it do anything?", f"{note}“{config.neutral}”.", [("items", items), ("charts", charts)])


def _verdict(config: TrainConfig, name: str, effect: Effect) -> Item:
    warning, prompt = effect.verdict(), config.concepts[name].asked
    size = f"The module is {fmean(effect.size):.2f} times as large as h and changes the prediction by "
    size += f"{fmean(effect.change):.1%}"
    direction = "towards" if config.purpose == "fairness" else "away from"
    if effect.way is not None:
        size += f", {fmean(effect.way):.2f} times as far {direction} “{prompt}” as this prompt itself does"
    return "wait" if warning else "good", f"{name}: {warning or 'it has an effect.'}", f"{size}.", ""


def _facts(run: Run) -> list[tuple[str, str]]:
    config = run.config
    return [
        ("Checkpoint", run.base.name),
        ("Architecture", run.architecture.describe()),
        ("Objective", f"{config.objective}, recipe {config.recipe}"),
        ("Steps", f"{run.step} of {config.steps}, batch {config.batch}"),
        ("Seed", str(config.seed)),
        ("Licence", config.licence),
    ]


def _settings(table: Mapping[str, Any], model: type[BaseModel], place: str = "") -> Iterator[tuple[Cell, ...]]:
    """Yield each entry's name as a preset spells it, value and meaning: of a table, and of the tables in it.

    `model` describes `table`, which is a part of what `TrainConfig.trained` returns.
    """
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for key, value in table.items():
        kind = fields[key].annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _settings(value, kind, f"{place}{key}.")
        elif isinstance(value, dict):  # of tables by a name
            for name, own in value.items():
                yield from _settings(own, get_args(kind)[1], f"{place}{key}.{name}.")
        else:
            yield f"{place}{key}", _shown(value), ("", fields[key].description or "")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(str, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def _origin(run: Run) -> list[tuple[str, str]]:
    """Return hashes and versions, those of the module from the file itself."""
    rows = [("Checkpoint SHA-256", run.base.sha256)]
    try:
        training = read_metadata(run.out)["training"]
        rows.append((f"{run.out.name} SHA-256", file_sha256(run.out)))
    except (OSError, RespoError):  # stopped before it was first saved
        training = {}
    for key in ("date", "compute", "versions"):
        if key in training:
            rows.append((key.capitalize(), _plain(training[key])))
    return [*rows, ("Page made by", f"Respo {__version__}")]


def _plain(value: Any) -> str:
    return ", ".join(f"{key} {own}" for key, own in value.items()) if isinstance(value, dict) else str(value)


def _content(path: Path) -> bytes:
    with opened(path) as file:
        return file.read()
