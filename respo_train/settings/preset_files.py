"""Read configurations: a shipped preset by name, or the user's own TOML file, combined with a recipe.

A preset says what to train (prompts, concepts), a recipe how (numbers). Values that a preset needs only with one recipe
are in its table `recipes.NAME`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..core.errors import RespoError
from ..core.files.text import read_text
from ..core.shown import shown
from ..objectives import OBJECTIVES
from .config import ConceptConfig, LocalisedConfig, ProbeConfig, TrainConfig, check
from .toml_text import parse_toml

PRESETS = Path(__file__).parent / "presets"
RECIPES = Path(__file__).parent / "recipes"


def names(folder: Path) -> list[str]:
    """Return the names of the shipped files in PRESETS or RECIPES."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def read_config(name: str, overrides: Mapping[str, Any] | None = None, recipe: str | None = None) -> TrainConfig:
    """Read a shipped preset by its name, or a TOML file by its path. Raises RespoError in one line.

    Later sources win: the recipe (`recipe`, else the preset's), the preset, its own table for that recipe, `overrides`.
    """
    path = Path(name) if name.endswith(".toml") else PRESETS / f"{name}.toml"
    if not path.is_file():
        if name.endswith(".toml"):
            raise RespoError(f"no file at {path}. Give the path of a preset of your own, or the name of a shipped one.")
        shipped = ", ".join(names(PRESETS))
        raise RespoError(f"no preset {name!r}. Shipped presets: {shipped}; or give the path of a .toml file.")
    return configure(_read(path), path.name, overrides, recipe)


def parse_config(
    text: str, source: str, overrides: Mapping[str, Any] | None = None, recipe: str | None = None
) -> TrainConfig:
    """Parse a preset's text; see `read_config`. `source`: its name in messages."""
    return configure(parse_toml(text, source), source, overrides, recipe)


def configure(
    preset: Mapping[str, Any], source: str, overrides: Mapping[str, Any] | None = None, recipe: str | None = None
) -> TrainConfig:
    """Build a configuration from a preset's plain values; see `read_config`."""
    recipe = recipe or preset.get("recipe", "respo")
    if recipe not in names(RECIPES):
        raise RespoError(f"{source}: no recipe {shown(recipe)}. Recipes: {', '.join(names(RECIPES))}")
    own = preset.get("recipes", {})
    if not isinstance(own, Mapping) or not all(isinstance(table, Mapping) for table in own.values()):
        raise RespoError(f"{source}: expected 'recipes' to hold tables, as in [recipes.released]")
    unknown = [key for key in own if key not in names(RECIPES)]
    if unknown:
        raise RespoError(f"{source}: unknown key 'recipes.{unknown[0][:80]}'; recipes: {', '.join(names(RECIPES))}")
    values = {key: value for key, value in preset.items() if key != "recipes"}
    layers = (_read(RECIPES / f"{recipe}.toml"), values, own.get(recipe, {}), overrides or {}, {"recipe": recipe})
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer)
    return check_config(merged, source)


def check_config(values: Mapping[str, Any], source: str) -> TrainConfig:
    """Build a configuration from plain values. Raises RespoError, which names the first wrong entry."""
    try:
        config = TrainConfig.model_validate(dict(values))
    except ValidationError as error:
        errors = error.errors()
        # A typo in a required entry's name gives two errors; the unknown key says more than the missing one.
        first = next((found for found in errors if found["type"] == "extra_forbidden"), errors[0])
        raise RespoError(f"{source}: {_explain(first)}") from None
    if config.objective not in OBJECTIVES:
        raise RespoError(
            f"{source}: objective: expected one of {', '.join(OBJECTIVES)}, found {config.objective[:80]!r}"
        )
    check(config, source)
    return config


def _read(path: Path) -> dict[str, Any]:
    return parse_toml(read_text(path, "the preset or recipe"), str(path))


def _merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested tables; the second one wins."""
    merged = dict(first)
    for key, value in second.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _explain(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])[:200]
    if error["type"] == "missing":
        return f"{place}: expected this entry, found nothing"
    if error["type"] != "extra_forbidden":
        return f"{place}: {error['msg']}, found {shown(error['input'])}" if place else error["msg"]
    tables: dict[str, type[BaseModel]] = {"concepts": ConceptConfig, "where": LocalisedConfig, "probe": ProbeConfig}
    model = tables.get(str(error["loc"][0]), TrainConfig) if len(error["loc"]) > 1 else TrainConfig
    known = [field.alias or name for name, field in model.model_fields.items()]
    nearest = difflib.get_close_matches(str(error["loc"][-1])[:80], known, n=1, cutoff=0)
    return f"unknown key {place!r}; did you mean {nearest[0]!r}?"
