"""The page about a run: one HTML file next to the module, with everything in it and nothing to load."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from .. import __version__
from ..core.errors import RespoError
from ..core.files.checkpoint import file_sha256, read_metadata, write_atomically
from ..core.module.architecture import Architecture
from ..job import training_folder
from ..provenance import Base
from ..settings.config import TrainConfig
from ..trainer import Losses
from .effect import Effect
from .plots import effect_charts, loss_charts, svg
from .sheet import Sheet

_STRIP = 6  # pictures in the strip through time, at most


@dataclass(frozen=True)
class Run:
    """What was trained and how far: `step` steps are done."""

    config: TrainConfig
    architecture: Architecture
    base: Base
    out: Path
    step: int
    losses: Mapping[str, Sequence[Losses]]


def write_page(run: Run, effects: Mapping[int, Mapping[str, Effect]], sheets: Sequence[Sheet]) -> Path:
    """Write the page next to the module, `gender.html` for `gender.safetensors`. Raises RespoError.

    `effects[step][concept]` and `sheets`, in order: what was seen on the way.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # slow to import, and only wanted at the end

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # texts of the configuration may come from strangers
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    path = run.out.with_suffix(".html")
    write_atomically(path, environment.get_template("page.html").render(_values(run, effects, sheets)).encode())
    return path


def _values(run: Run, effects: Mapping[int, Mapping[str, Effect]], sheets: Sequence[Sheet]) -> dict[str, Any]:
    folder = training_folder(run.out)
    latest = effects[max(effects)] if effects else {}
    return {
        "run": run,
        "config": run.config,
        "done": run.step >= run.config.steps,
        "facts": _facts(run),
        "first": _grid(sheets[0]) if len(sheets) > 1 else None,
        "last": _grid(sheets[-1]) if sheets else None,
        "strips": _strips(sheets) if len(sheets) > 1 else [],
        "verdicts": [_verdict(run.config, name, effect) for name, effect in latest.items()],
        "measured_at": max(effects, default=0),
        "effect_charts": [(chart.title, svg(chart)) for chart in effect_charts(latest)],
        "loss_charts": [(chart.title, svg(chart)) for chart in loss_charts(run.losses)] if run.step else [],
        "heat_maps": [(path.stem, _inline(path.read_bytes(), "png")) for path in sorted(folder.glob("heat-*.png"))],
        "settings": list(_settings(run.config.trained(), TrainConfig)),
        "origin": _origin(run),
    }


def _grid(sheet: Sheet) -> dict[str, Any]:
    rows = [
        (prompt, [(name, [_picture(p) for p in seeds]) for name, seeds in zip(sheet.columns, row, strict=True)])
        for prompt, row in zip(sheet.prompts, sheet.pictures, strict=True)
    ]
    return {"step": sheet.step, "columns": sheet.columns, "rows": rows, "width": sheet.pictures.shape[4]}


def _strips(sheets: Sequence[Sheet]) -> list[dict[str, Any]]:
    """Return a strip for each concept: how the first picture of the first two prompts changed during training."""
    chosen = [sheets[i] for i in sorted({round(i) for i in np.linspace(0, len(sheets) - 1, _STRIP - 1)})]
    strips = []
    for column, name in enumerate(chosen[-1].columns[1:], start=1):
        rows = []
        for row, prompt in enumerate(chosen[-1].prompts[:2]):
            start = [("before", _picture(chosen[-1].pictures[row, 0, 0]))]
            frames = [(f"step {sheet.step}", _picture(sheet.pictures[row, column, 0])) for sheet in chosen]
            rows.append((prompt, start + frames))
        strips.append({"name": name, "rows": rows})
    return strips


def _verdict(config: TrainConfig, name: str, effect: Effect) -> dict[str, Any]:
    size = f"The module is {fmean(effect.size):.2f} times as large as h and changes the prediction by "
    size += f"{fmean(effect.change):.1%}"
    direction = "towards" if config.purpose == "fairness" else "away from"
    if effect.way is not None:
        prompt = config.concepts[name].asked
        size += f", {fmean(effect.way):.2f} times as far {direction} “{prompt}” as this prompt itself does"
    return {"name": name, "warning": effect.verdict(), "figures": f"{size}."}


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


def _settings(table: Mapping[str, Any], model: type[BaseModel], place: str = "") -> Iterator[tuple[str, str, str]]:
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
            yield f"{place}{key}", _shown(value), fields[key].description or ""


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


def _picture(pixels: NDArray[np.uint8]) -> str:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "WEBP", quality=92, method=6)
    return _inline(data.getvalue(), "webp")


def _inline(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
