"""The recipes of CONTRIBUTING.md for a judge and an architecture family, each followed once with a toy."""

from __future__ import annotations

import sys
from types import ModuleType

from respo_train import judges
from respo_train.core.module import architecture
from respo_train.core.module.architecture import Architecture, Family


class ToyJudge:
    """A judge that nobody would use."""

    name = "Toy"


def test_a_judge_is_a_file_and_a_record(monkeypatch):
    file = ModuleType("respo_train.judges.toy")
    file.ToyJudge = ToyJudge
    monkeypatch.setitem(sys.modules, file.__name__, file)
    monkeypatch.setitem(judges.BUILT_IN, "Toy", judges.BuiltIn("toy", "ToyJudge"))
    assert judges.load_judge("Toy").name == "Toy"


def test_a_family_is_one_record(monkeypatch):
    config = {"model_channels": 96, "channel_mult": (1, 2), "context_dim": 48}
    assert Architecture.from_unet_config(config).family == "unet-96-48"
    monkeypatch.setattr(
        architecture, "FAMILIES", [*architecture.FAMILIES, Family("toy", "Toy Diffusion", 96, 48, latent_size=32)]
    )
    found = Architecture.from_unet_config(config)
    assert found.describe() == "Toy Diffusion (h: 192 channels)"
    assert architecture.family_named(found.family).latent_size == 32
