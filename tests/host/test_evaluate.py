"""An evaluation of the real checkpoint, judged by the real judge, as small as it gets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from respo_train.__main__ import main
from respo_train.cli import evaluate as command
from respo_train.evaluation.protocol import Protocol, read_protocol

WORLD = Path(__file__).resolve().parents[2] / "emoji_world"


def small(name: str) -> Protocol:
    whole = read_protocol(name)
    groups = {"professions": {"names": ["doctor", "nurse"]}, "subjects": {"names": ["dog"]}}
    return dataclasses.replace(whole, steps=10, data={**whole.data, "groups": groups})


def test_emoji_world(host: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "read_protocol", small)
    given = ["evaluate", "--protocol", "emoji", "--checkpoint", str(WORLD / "checkpoint" / "emoji_world.safetensors")]
    given += ["--module", str(WORLD / "modules" / "emoji_world_gender.safetensors"), "--images", "2"]
    assert main([*given, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["figures"]
    before, after, gated = (found[name] for name in ("unmodified", "modules", "modules, gated"))
    # The world draws men as doctors and women as nurses; with the module each is both.
    assert before["deviation_gender"]["value"] == 1
    assert after["deviation_gender"]["value"] == 0
    assert after["agreement_gender"]["value"] == 1
    assert before["profession_accuracy"]["value"] == after["profession_accuracy"]["value"] == 1
    assert gated["nobody_identical"]["value"] == 1
    assert gated["kept_gender"]["value"] == 1
    assert 10 < after["background_psnr"]["value"] < 60
