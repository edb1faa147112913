"""The judge: unsure rather than wrong, and clear about files that are not its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from respo_train.core.errors import RespoError
from respo_train.core.judge import UNSURE
from respo_train.judges.emoji_world import Judge, load_judge
from respo_train.judges.segmenter import load_segmenter

CLASSES = {"gender": ("woman", "man")}


def test_below_the_threshold_it_is_unsure() -> None:
    judge = Judge(CLASSES, {"gender": 0.9})
    clear = judge._verdict("gender", torch.tensor([[4.0, 0.0], [0.3, 0.0], [0.0, 4.0]]))
    assert clear.labels == ("woman", UNSURE, "man")
    assert clear.confidence[1] == pytest.approx(0.574, abs=0.001)


def test_a_saved_judge_says_the_same(tmp_path: Path) -> None:
    judge = Judge(CLASSES, {"gender": 0.5}).eval()
    about = {"judge": json.dumps({"classes": CLASSES, "thresholds": {"gender": 0.5}})}
    save_file(judge.state_dict(), tmp_path / "judge.safetensors", about)
    images = torch.rand(3, 3, 96, 96)
    assert load_judge(tmp_path / "judge.safetensors").verdicts(images) == judge.verdicts(images)


@pytest.mark.parametrize("load", [load_judge, load_segmenter])
def test_a_file_that_is_something_else_is_refused(load: object, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no")
    for name in ("other", "text", "missing"):
        with pytest.raises(RespoError, match=f"{name}.safetensors"):
            load(tmp_path / f"{name}.safetensors")  # type: ignore[operator]
