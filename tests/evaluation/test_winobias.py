"""WinoBias with a CLIP of random weights, which knows nothing: what is measured and what is skipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluation.toy_world import CalmUNet, attribute, small_protocol
from judges.test_clip import NAME
from judges.test_clip import folder as clips  # noqa: F401 - a fixture

from respo_train.__main__ import main
from respo_train.cli import evaluate as command
from respo_train.core.files.checkpoint import save_attribute


def test_winobias_with_a_clip_of_random_weights(
    clips: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "toy.safetensors").write_bytes(b"toy")
    save_attribute(tmp_path / "gender.safetensors", attribute("gender", "woman", "man"))
    monkeypatch.setattr(command.load, "load_unet", lambda *_, **__: CalmUNet())
    monkeypatch.setattr(command, "read_protocol", small_protocol)
    given = ["evaluate", "--protocol", "winobias", "--checkpoint", str(tmp_path / "toy.safetensors")]
    given += ["--module", str(tmp_path / "gender.safetensors"), "--judge", str(clips / NAME), "--images", "2"]
    assert main([*given, "--steps", "2", "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    own = found["figures"]["modules"]
    assert own["deviation_gender"]["n"] == 20  # two professions, five templates
    assert {"wino_align", "wino_align_lost", "wino_align_plus", "deviation_gender_plus"} <= set(own)
    lost = found["figures"]["unmodified"]["wino_align"]["value"] - own["wino_align"]["value"]
    assert own["wino_align_lost"]["value"] == pytest.approx(lost, abs=1e-6)
    assert any(line.startswith("background: needs a segmenter") for line in found["skipped"])
