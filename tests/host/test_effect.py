"""The verdict's thresholds on a real model: see the figures in respo_train/report/effect.py."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest

from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.host.load import load_unet
from respo_train.report.effect import Probe
from respo_train.settings.preset_files import read_config
from respo_train.trainer import settings_of

BENCH = Path(__file__).resolve().parents[2] / "emoji_world"


@pytest.fixture(scope="module")
def probes(host: SimpleNamespace) -> dict[str, Probe]:
    unet = load_unet(BENCH / "checkpoint" / "emoji_world.safetensors")
    return {name: Probe(setting) for name, setting in settings_of(read_config("gender"), unet).items()}


def times(module: ConceptModule, factor: float) -> ConceptModule:
    scaled = copy.deepcopy(module)
    for parameter in scaled.parameters():
        parameter.data *= factor
    return scaled


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.0, None), (0.1, "hardly any"), (0.05, "hardly any"), (4.0, "far too"), (8.0, "far too")]
)
def test_the_shipped_module_and_scaled_copies(probes: dict[str, Probe], factor: float, expected: str | None) -> None:
    shipped = load_attribute(BENCH / "modules" / "emoji_world_gender.safetensors").concepts
    for name, module in shipped.items():
        verdict = probes[name].measure(times(module, factor)).verdict()
        assert verdict is None if expected is None else str(verdict).startswith(expected)
