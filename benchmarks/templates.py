"""The templates that ComfyUI shows, as saved workflows: one `<name>.json` and `<name>.jpg` each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "example_workflows"


def template_names() -> list[str]:
    """Return all templates' names, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read_template(name: str) -> dict[str, Any]:
    """Return a template. Raises FileNotFoundError for a name that is not there."""
    workflow: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return workflow
