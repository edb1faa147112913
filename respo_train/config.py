"""What to train and how: a checked configuration, read from a preset or from a TOML file of one's own."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from .core.errors import RespoError
from .core.grid import KINDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PRESETS = Path(__file__).parent / "presets"

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Strict(BaseModel):
    """No unknown keys, no silent conversions of text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConceptConfig(Strict):
    """One concept: its target prompt, and whatever it needs otherwise than its attribute says."""

    target: Text
    target_guidance: Positive | None = None
    responsible_lr: Positive | None = None
    semantic_lr: Weight | None = None


class TrainConfig(Strict):
    """One attribute and its recipe."""

    attribute: Text
    purpose: Literal["fairness"]
    objective: Literal["respodiff"] = "respodiff"
    neutral: Text = Field(description="the prompt that is steered; it names no profession")
    concepts: dict[str, ConceptConfig] = Field(min_length=1)

    steps: int = Field(200, ge=1, le=1_000_000, description="optimizer steps")
    seed: int = Field(0, ge=0, lt=2**64)
    batch: int = Field(8, ge=1, le=4096, description="trajectories a concept")
    trajectory_steps: int = Field(50, ge=2, le=1000, description="DDIM steps of a trajectory")
    trajectory_guidance: Weight = 3.0
    target_guidance: Positive = 4.0
    target_from: Literal["unconditional", "neutral", "others"] = Field(
        "unconditional", description="what target_guidance leads away from: the paper's choice, or see the objective"
    )
    responsible_lr: Positive = 1e-2
    semantic_lr: Weight = Field(1e-4, description="0 leaves the semantic part at zero")
    semantic_weight: Weight = Field(0.5, alias="lambda", description="weight of the semantic loss")
    kind: Literal["grid", "low_rank", "channel"] = "grid"
    rank: int | None = Field(None, ge=1, le=1024)
    licence: Text = "not stated"

    def of(self, concept: str, key: Literal["target_guidance", "responsible_lr", "semantic_lr"]) -> float:
        """Return the concept's own value of `key`, else the attribute's."""
        own: float | None = getattr(self.concepts[concept], key)
        shared: float = getattr(self, key)
        return shared if own is None else own

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as a preset would spell it, unset entries left out."""
        return self.model_dump(by_alias=True, exclude_none=True)


def read_config(name: str, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """Read a shipped preset by its name, or a TOML file by its path. Raises RespoError in one line.

    `overrides` replaces top-level entries.
    """
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(preset.stem for preset in PRESETS.glob("*.toml")))
        raise RespoError(f"no preset {name!r}. Shipped presets: {shipped}; or give the path of a .toml file.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # not readable, not UTF-8, not TOML
        raise RespoError(f"cannot read {path}: {error}") from error
    return check_config({**values, **(overrides or {})}, path.name)


def check_config(values: Mapping[str, Any], source: str) -> TrainConfig:
    """Turn plain values into a configuration. Raises RespoError naming the first wrong entry."""
    try:
        config = TrainConfig.model_validate(dict(values))
    except ValidationError as error:
        raise RespoError(f"{source}: {_explain(error.errors()[0])}") from None
    if (config.kind == "low_rank") != (config.rank is not None):
        raise RespoError(f"{source}: give 'rank' with kind = \"low_rank\", and only then (kinds: {', '.join(KINDS)})")
    if config.target_from == "others" and len(config.concepts) < 2:
        raise RespoError(f'{source}: target_from = "others" needs at least two concepts; use "neutral"')
    return config


def _explain(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{place}: {error['msg']}, found {str(error['input'])[:80]!r}" if place else error["msg"]
    model = ConceptConfig if error["loc"][0] == "concepts" else TrainConfig
    known = [field.alias or name for name, field in model.model_fields.items()]
    nearest = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0)
    return f"unknown key {place!r}; did you mean {nearest[0]!r}?"
