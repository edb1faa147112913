"""The command's own checks, and judges that only some computers have."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from evaluation.toy_world import CalmUNet, ColourJudge, attribute
from toy_judge import painted

from respo_train.__main__ import main
from respo_train.cli import evaluate as command
from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import save_attribute
from respo_train.evaluation import inception
from respo_train.evaluation.alignment import alignments
from respo_train.team import ALONE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint, a module, and the command line on the toy."""
    (tmp_path / "toy.safetensors").write_bytes(b"toy")
    save_attribute(tmp_path / "gender.safetensors", attribute("gender", "woman", "man"))
    monkeypatch.setattr(command.load, "load_unet", lambda *_, **__: CalmUNet())
    return tmp_path


def run(folder: Path, *arguments: str, protocol: str = "emoji") -> int:
    given = ["evaluate", "--protocol", protocol, "--checkpoint", str(folder / "toy.safetensors")]
    return main([*given, "--out", str(folder / "out"), *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "0"], "expected --images of 1 to 10000, found 0"),
        (["--steps", "0"], "expected --steps of 1 to 1000"),
        (["--guidance", "nan"], "expected --guidance of 0 to 100, found nan"),
        (["--csv", "x.csv"], "the protocol i2p takes its prompts from --csv FILE, and no other protocol does"),
        (["--protocol", "i2p"], "the protocol i2p takes its prompts from --csv"),
        (["--protocol", "winobias"], "judged by CLIP: give the folder of a CLIP model with --judge FOLDER"),
        (["--judge", "nowhere/clip"], "expected a judge: "),
        (["--module", "{}/gender.safetensors", "--strength", "1", "--strength", "2"], "one for each of 1, found 2"),
        (["--module", "{}/gender.safetensors", "--strength", "inf"], "every --strength to be a number, found inf"),
        (["--module", "{}/toy.safetensors"], "toy.safetensors"),
        (["--checkpoint", "{}/none.safetensors"], "no checkpoint at"),
        (["--out", "{}/toy.safetensors"], "expected a folder for --out"),
        (["--segmenter", "{}/toy.safetensors"], "expected a segmenter's .safetensors file"),
        (["--judge", "emoji world", "--judge-prompts", "{}/none.txt"], "cannot read"),
    ],
)
def test_says_what_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(folder, *(argument.format(folder) for argument in arguments)) == 2
    said = capsys.readouterr().err
    assert said.startswith("respo_train: ")
    assert message in said
    assert "Traceback" not in said


def test_each_process_has_its_own_gpu_before_a_judge_is_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(command, "join_team", lambda: done.append("join") or ALONE)
    monkeypatch.setattr(command, "find_judge", lambda *_, **__: done.append("judge") or ColourJudge())
    monkeypatch.setattr(command, "evaluate", lambda *_: None)
    assert run(folder, "--judge", "nowhere/clip", protocol="winobias") == 0
    assert done == ["join", "judge"]


def test_the_whole_command_with_i2p(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_judge", lambda *_, **__: ColourJudge())
    save_attribute(folder / "safe.safetensors", attribute("no weapons", "no weapons", purpose="safety"))
    rows = ["prompt,categories,sd_seed,sd_guidance_scale", 'a fight,"violence, hate",3,9', "a hill,violence,4,2"]
    (folder / "i2p.csv").write_text("\n".join(rows))
    given = ("--csv", str(folder / "i2p.csv"), "--images", "2", "--steps", "2", "--judge", "emoji world")
    assert run(folder, *given, "--module", str(folder / "safe.safetensors"), "--scale", "0.5", protocol="i2p") == 0
    found = json.loads((folder / "out" / "results.json").read_text(encoding="utf-8"))
    for method in ("unmodified", "modules"):
        own = found["figures"][method]
        assert (own["unsafe_weapon"]["n"], own["unsafe_weapon_violence"]["n"], own["unsafe_weapon_hate"]["n"]) == (
            4,
            4,
            2,
        )
    assert found["settings"]["modules"][0].startswith("safe.safetensors × 0.5")
    page = (folder / "out" / "index.html").read_text(encoding="utf-8")
    assert "made to disturb" in page
    assert "data:image" not in page  # no pictures
    notes = [json.loads(path.read_text())["about"] for path in (folder / "out" / "cells").glob("*.json")]
    assert sorted({(about["prompt"], about["guidance"], about["seeds"][0]) for about in notes}) == [
        ("a fight", 9, 3),
        ("a hill", 2, 4),
    ]


def test_a_module_for_another_model(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    from respo_train.core.module.architecture import Architecture

    monkeypatch.setattr(CalmUNet, "architecture", Architecture("sd1", 320, 768, 0, 1280))
    assert run(folder, "--module", str(folder / "gender.safetensors")) == 2
    assert "Stable Diffusion 1" in capsys.readouterr().err


def test_alignment_is_with_each_pictures_own_prompt() -> None:
    class Length:
        def logits(self, images: torch.Tensor, sentences: list[str]) -> torch.Tensor:
            return images.mean((1, 2, 3))[:, None] * torch.tensor([len(s) for s in sentences])

    found = alignments(Length(), [painted("doctor", 255, 0), painted("nurse", *[255] * 40)])
    assert found.tolist() == [6, 0] + [5] * 40


def test_fid_says_why_not_and_never_downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(inception, "PACKAGE", "no_such_package")
    assert inception.why_not() == "the package torch-fidelity is not installed (pip install torch-fidelity)"
    monkeypatch.setattr(inception, "PACKAGE", "json")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert "Inception's weights are not at" in inception.why_not()


def test_fid_asks_the_library_for_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: dict[str, Any] = {}

    def calculate_metrics(**options: Any) -> dict[str, float]:
        given.update(options)
        return {
            "frechet_inception_distance": 12.0,
            "kernel_inception_distance_mean": 0.5,
            "kernel_inception_distance_std": 0.1,
        }

    library = ModuleType("torch_fidelity")
    library.calculate_metrics = calculate_metrics  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_fidelity", library)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    weights = inception.weights_path()
    weights.parent.mkdir()
    torch.save({"weight": torch.zeros(2)}, weights)
    found = inception.fid_and_kid([painted("doctor", 7, 9)], [painted("real", 1, 2, 3)])
    assert found["fid"].value == 12
    assert found["kid"].value == 0.5
    assert np.isnan([found["kid"].low, found["kid"].high]).all()  # not the spread between subsets of the same pictures
    assert given["kid_subset_size"] == 2
    assert given["feature_extractor_weights_path"] == str(weights)
    assert len(given["input1"]), len(given["input2"]) == (2, 3)
    assert given["input1"][1].dtype == torch.uint8
    assert np.unique(given["input1"][1]).tolist() == [9]
    torch.save(Path("code"), weights)  # a pickle of something that is no tensor
    with pytest.raises(RespoError, match="expected Inception's weights"):
        inception.fid_and_kid([painted("doctor", 7, 9)], [painted("real", 1, 2, 3)])


def test_compressed_weights_are_refused_before_they_are_inflated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PyTorch reads such an archive, and has no limit for what it becomes."""
    weights = tmp_path / "weights.pth"
    monkeypatch.setattr(inception, "weights_path", lambda: weights)
    monkeypatch.setitem(sys.modules, "torch_fidelity", mock.Mock())
    torch.save({"weight": torch.zeros(10**6)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(weights, "w") as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name), zipfile.ZIP_DEFLATED)
    with pytest.raises(RespoError, match="expected Inception's weights") as raised:
        inception.fid_and_kid([painted("doctor", 7, 9)], [painted("real", 1, 2, 3)])
    assert str(raised.value.__cause__) == "it is compressed"


@pytest.mark.parametrize("archive", [True, False])
def test_a_class_with_a_long_name_is_refused_before_pytorch_words_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, archive: bool
) -> None:
    """PyTorch's refusal takes a time that is quadratic in the name."""
    good, weights = tmp_path / "good.pth", tmp_path / "weights.pth"
    torch.save({"weight": torch.zeros(9)}, good, _use_new_zipfile_serialization=archive)
    inception._refuse_code(good)
    named = b"c" + b"a" * 201 + b"\nb\n."
    if archive:
        with zipfile.ZipFile(good) as plain, zipfile.ZipFile(weights, "w") as other:
            for name in plain.namelist():
                other.writestr(name, named if name.endswith("data.pkl") else plain.read(name))
    else:
        data = good.read_bytes()
        end = [place for place, byte in enumerate(data) if byte == ord(".")][2] + 1  # of the third pickle
        weights.write_bytes(data[:end] + named + data[end:])
    monkeypatch.setattr(torch, "load", mock.Mock(side_effect=AssertionError("PyTorch was asked")))
    with pytest.raises(RespoError, match="expected Inception's weights") as raised:
        inception._refuse_code(weights)
    assert "more letters" in str(raised.value.__cause__)
