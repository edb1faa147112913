"""Workflows that released versions saved, tests/workflows/<version>.json, and what the page sent to the server of each.

Never change these files: they are what people have on their disks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = ROOT / "tests" / "workflows"
VERSIONS = sorted(path.name.removesuffix(".sent.json") for path in WORKFLOWS.glob("*.sent.json"))


def saved(version: str) -> dict[str, Any]:
    """The workflow as the page saved it."""
    found: dict[str, Any] = json.loads((WORKFLOWS / f"{version}.json").read_text(encoding="utf-8"))
    return found


def sent(version: str) -> dict[str, Any]:
    """What the page sent to the server: {node's number: {class_type, inputs}}."""
    found: dict[str, Any] = json.loads((WORKFLOWS / f"{version}.sent.json").read_text(encoding="utf-8"))
    return found


def released_nodes() -> set[str]:
    """The types of nodes that the workflows hold."""
    return {node["class_type"] for version in VERSIONS for node in sent(version).values()}


def release_is_due() -> bool:
    """Whether the changelog's newest version has left the state of being unreleased."""
    return "\n## [Unreleased]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
