from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_unet import ToyUNet

import respo_train.host.load as load
import respo_train.job as job
from respo_train.__main__ import main
from respo_train.core.checkpoint import load_attribute
from respo_train.core.errors import RespoError
from respo_train.preset_files import read_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the (replaced) host opens as the toy network."""
    path = tmp_path / "in" / "toy.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"toy")
    monkeypatch.setattr(load, "load_unet", lambda path, precision, size: ToyUNet())
    return path


def arguments(checkpoint: Path, out: Path, *more: str) -> list[str]:
    return ["train", "--preset", "gender", "--checkpoint", str(checkpoint), "--out", str(out), *more]


def test_train_and_info(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "gender.safetensors"
    assert main(arguments(checkpoint, out, "--steps", "3", "--seed", "5")) == 0
    attribute = load_attribute(out)
    assert (attribute.name, list(attribute.concepts)) == ("gender", ["woman", "man"])
    assert attribute.architecture == ToyUNet.architecture
    assert attribute.base["name"] == "toy.safetensors"
    assert len(attribute.base["sha256"]) == 64
    assert attribute.base["fingerprint"] == [1.0, 2.0, 3.0]
    assert attribute.training["config"]["seed"] == 5
    assert attribute.training["steps_done"] == 3
    assert attribute.training["config"]["neutral"] == "a person"
    picture = out.with_suffix(".losses.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    captured = capsys.readouterr()
    assert "3/3" in captured.err
    assert "responsible 0." in captured.err
    assert main(["info", str(out)]) == 0
    assert "woman: grid 8 x 4 x 4" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["gender.losses.png", "gender.safetensors", "in"]


def test_keeps_the_module_while_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SAVE_EVERY", 2)
    out, kept = tmp_path / "gender.safetensors", []

    def look(state: object) -> None:
        kept.append(load_attribute(out).training["steps_done"] if out.exists() else 0)

    job.train_to_file(read_config("gender", {"steps": 5}), ToyUNet(), job.Base("toy", "0" * 64), out, look)
    assert kept == [0, 2, 2, 4, 4]
    assert load_attribute(out).training["steps_done"] == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--preset": "gendre"}, "no preset 'gendre'"),
        ({"--steps": "0"}, "steps"),
        ({"--seed": "-1"}, "seed"),
        ({"--out": "gender.pth"}, "ends in .safetensors"),
        ({"--out": "nowhere/gender.safetensors"}, "make that folder"),
    ],
)
def test_users_errors_are_one_line_and_write_nothing(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    changes: dict,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"--preset": "gender", "--checkpoint": str(checkpoint), "--out": "gender.safetensors", **changes}
    assert main(["train", *(word for pair in given.items() for word in pair)]) == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.startswith("respo_train: ")
    assert line.count("\n") == 1
    assert os.listdir(tmp_path) == ["in"]


def test_missing_checkpoint_is_said_before_the_host_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(arguments(tmp_path / "missing.safetensors", tmp_path / "x.safetensors")) == 2
    assert "no checkpoint at" in capsys.readouterr().err


def test_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(RespoError, match="cannot write into"):
        job.check_job(read_config("gender"), tmp_path / "gender.safetensors")


def test_info_of_another_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nonsense and more")
    assert main(["info", str(path)]) == 2
    assert "x.safetensors" in capsys.readouterr().err


def test_module_runs_from_the_repository_with_help_for_newcomers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "respo_train", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "python -m respo_train train --preset gender --checkpoint" in done.stdout
