from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
import safetensors.torch
import torch
from toy_unet import ToyUNet

import respo_train.host.load as load
from respo_train.__main__ import _parser, main
from respo_train.core.errors import RespoError, RespoWarning
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.architecture import Architecture
from respo_train.job import Base, check_job, state_path, train_to_file, training_folder
from respo_train.network import Conditioning
from respo_train.resume import Identity, Saved, read_saved
from respo_train.settings.preset_files import PRESETS, RECIPES, names, read_config
from respo_train.trainer import TrainState

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the (replaced) host opens as the toy network."""
    path = tmp_path / "in" / "toy.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"toy")
    monkeypatch.setattr(load, "load_unet", lambda *_, **__: ToyUNet())
    return path


def arguments(checkpoint: Path, out: Path, *more: str) -> list[str]:
    quick = ["--batch", "2", "--preview-every", "0"]
    return ["train", "--preset", "gender", "--checkpoint", str(checkpoint), "--out", str(out), *quick, *more]


def test_train_and_info(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "gender.safetensors"
    assert main(arguments(checkpoint, out, "--steps", "3", "--seed", "5")) == 0
    attribute = load_attribute(out)
    assert (attribute.name, list(attribute.concepts)) == ("gender", ["woman", "man"])
    assert attribute.architecture == ToyUNet.architecture
    assert attribute.base["name"] == "toy.safetensors"
    assert len(attribute.base["sha256"]) == 64
    assert attribute.base["fingerprint"] == [1.0, 2.0, 3.0]
    training = attribute.training
    assert (training["objective"], training["recipe"], training["half"]) == ("respodiff", "respo", "cond")
    assert training["compute"] == {"precision": "float32", "device": "cpu", "processes": 1}
    assert training["config"]["seed"] == 5
    assert training["steps_done"] == 3
    assert training["config"]["neutral"] == "a person"
    assert sorted(os.listdir(tmp_path)) == ["gender.html", "gender.safetensors", "gender.training", "in"]
    assert {"losses.png", "state.respo"} <= set(os.listdir(tmp_path / "gender.training"))
    captured = capsys.readouterr()
    assert "3/3" in captured.err
    assert re.search(r"responsible \d", captured.err)
    assert str(tmp_path) not in out.read_bytes().decode(errors="replace")


def test_info_is_a_table(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "gender.safetensors"
    assert main(arguments(checkpoint, out, "--steps", "3", "--recipe", "released")) == 0
    capsys.readouterr()
    assert main(["info", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert found["woman"][:6] == ["grid", "8", "x", "4", "x", "4"]
    assert (found["objective"], found["recipe"], found["half"][0]) == (["respodiff"], ["released"], "cond:")
    assert (found["steps_done"], found["concepts.man.target"]) == (["3"], ["a", "man"])
    assert (found["lambda"], found["compute.precision"]) == (["1.0"], ["float32"])
    assert not any("{" in line.replace("{}", "") for line in lines if "picture_prompt" not in line)
    assert any(line.startswith("prompt probe: ") and " 2 stating words" in line for line in lines)
    # Columns are aligned.
    assert lines[3].index("kind") == lines[4].index("grid") == lines[5].index("grid")


def test_info_needs_neither_pydantic_nor_a_host(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "gender.safetensors"
    assert main(arguments(checkpoint, out, "--steps", "1")) == 0
    script = f"""
import sys
for name in ("pydantic", "comfy", "matplotlib", "tqdm"):
    sys.modules[name] = None
from respo_train.__main__ import main
sys.exit(main(["info", {str(out)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "a woman" in done.stdout


def test_options_reach_the_configuration(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = []
    monkeypatch.setattr(load, "load_unet", lambda *given, **options: asked.append((given, options)) or ToyUNet())
    out = tmp_path / "gender.safetensors"
    size = ["--width", "128", "--height", "64", "--precision", "bfloat16", "--compile"]
    given = ["--steps", "2", "--seed", "7", "--batch", "3", "--lambda", "2.5", *size]
    assert main(arguments(checkpoint, out, *given)) == 0
    config = load_attribute(out).training["config"]
    wanted = {"steps": 2, "seed": 7, "batch": 3, "lambda": 2.5, "width": 128, "height": 64}
    assert {key: config[key] for key in wanted} == wanted
    assert asked == [((checkpoint, "bfloat16", (64, 128)), {"compile": True, "block": 0})]


def test_a_run_keeps_its_precision(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that would choose another one when it goes on."""
    asked = []

    def load_unet(path: Path, precision: str, size: object, compile: bool, block: int) -> ToyUNet:  # noqa: A002
        asked.append((precision, compile))
        unet = ToyUNet()
        unet.compute = {"precision": "bfloat16" if precision == "auto" else precision, "compiled": compile}
        return unet

    monkeypatch.setattr(load, "load_unet", load_unet)
    out = tmp_path / "gender.safetensors"
    assert main(arguments(checkpoint, out, "--steps", "1", "--compile")) == 0
    assert main(["resume", str(out), "--steps", "2", "--preview-every", "0"]) == 0
    assert main(arguments(checkpoint, out, "--steps", "3", "--compile", "--resume")) == 0
    assert asked == [("auto", True), ("bfloat16", True), ("bfloat16", True)]
    assert main(arguments(checkpoint, out, "--steps", "3", "--resume")) == 2


def test_resume_and_more_steps(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    assert main(arguments(checkpoint, whole, "--steps", "6")) == 0
    assert main(arguments(checkpoint, parts, "--steps", "2", "--save-every", "1")) == 0
    assert main(arguments(checkpoint, parts, "--steps", "4", "--resume")) == 0
    moved = checkpoint.rename(tmp_path / "in" / "moved.safetensors")
    capsys.readouterr()
    assert main(["resume", str(parts), "--steps", "6"]) == 2
    assert "Give its new place with --checkpoint PATH" in capsys.readouterr().err
    assert main(["resume", str(parts), "--steps", "6", "--checkpoint", str(moved)]) == 0
    one, two = safetensors.torch.load_file(whole), safetensors.torch.load_file(parts)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert read_saved(state_path(parts)).step == 6
    (tmp_path / "in" / "other.safetensors").write_bytes(b"another")
    capsys.readouterr()
    assert main(["resume", str(parts), "--steps", "8", "--checkpoint", str(tmp_path / "in" / "other.safetensors")]) == 2
    assert "other.safetensors is another checkpoint" in capsys.readouterr().err


def test_a_module_that_is_there_is_kept(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "gender.safetensors"
    assert main(arguments(checkpoint, out, "--steps", "2")) == 0
    before = out.read_bytes()
    capsys.readouterr()
    assert main(arguments(checkpoint, out, "--steps", "3")) == 2
    assert "--resume" in (line := capsys.readouterr().err)
    assert line.count("\n") == 1
    assert main(arguments(checkpoint, out, "--steps", "3", "--seed", "1", "--resume")) == 2
    assert "seed = 0, this one 1" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert main(arguments(checkpoint, out, "--steps", "3", "--seed", "1", "--overwrite")) == 0
    assert load_attribute(out).training["config"]["seed"] == 1


def test_resume_without_anything_to_go_on_from(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["resume", str(tmp_path / "gender.safetensors")]) == 2
    assert "no saved run at" in capsys.readouterr().err


def test_keeps_the_module_while_it_trains(tmp_path: Path) -> None:
    out, kept = tmp_path / "gender.safetensors", []

    class Look:
        def after_step(self, state: TrainState) -> None:
            kept.append(load_attribute(out).training["steps_done"] if out.exists() else 0)

        def finish(self, state: TrainState) -> None:
            kept.append(load_attribute(out).training["steps_done"])

    config = read_config("gender", {"steps": 5, "batch": 2})
    train_to_file(config, ToyUNet(), Base("toy", "0" * 64), out, [Look()], save_every=2)
    assert kept == [0, 2, 2, 4, 4, 5]


TYPO = 'attribute = "x"\npurpose = "fairness"\nneutrall = "a person"\n[concepts.a]\ntarget = "a"\n'
SHORT = 'attribute = "x"\npurpose = "fairness"\n[concepts.a]\ntarget = "a"\n'
EMPTY = 'attribute = "x"\npurpose = "fairness"\nneutral = "a person"\n[concepts.a]\ntarget = " "\n'
NONE = 'attribute = "x"\npurpose = "fairness"\nneutral = "a person"\n[concepts]\n'


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--preset": "gendre"}, "no preset 'gendre'"),
        ({"--preset": "in/typo.toml"}, "unknown key 'neutrall'; did you mean 'neutral'?"),
        ({"--preset": "in/empty.toml"}, "concepts.a.target"),
        ({"--preset": "in/none.toml"}, "concepts: "),
        ({"--preset": "in/short.toml"}, "neutral: expected this entry"),
        ({"--recipe": "best"}, "no recipe 'best'"),
        ({"--checkpoint": "in/missing.safetensors"}, "no checkpoint at"),
        ({"--checkpoint": "in"}, "no checkpoint at"),
        ({"--steps": "0"}, "steps"),
        ({"--steps": "many"}, "argument --steps: invalid int value: 'many'"),
        ({"--seed": "-1"}, "seed"),
        ({"--batch": "0"}, "batch"),
        ({"--lambda": "-0.5"}, "lambda: "),
        ({"--lambda": "nan"}, "lambda: "),
        ({"--width": "512"}, "give both 'width' and 'height'"),
        ({"--width": "100", "--height": "64"}, "width: "),
        ({"--precision": "half"}, "argument --precision: invalid choice: 'half'"),
        ({"--save-every": "0"}, "--save-every of at least 1"),
        ({"--preview-every": "-1"}, "--preview-every of at least 0"),
        ({"--out": "gender.pth"}, "ends in .safetensors"),
        ({"--out": "nowhere/gender.safetensors"}, "make that folder"),
        ({"--out": "in/folder.safetensors"}, "is a folder"),
        ({"--out": "in/blocked.safetensors"}, "expected in/blocked.training to be a folder"),
        ({"--out": "READ ONLY/gender.safetensors"}, "cannot write into"),
    ],
)
def test_users_errors_are_one_line_and_write_nothing(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    changes: dict[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("typo", TYPO), ("short", SHORT), ("empty", EMPTY), ("none", NONE)):
        (tmp_path / "in" / f"{name}.toml").write_text(text)
    (tmp_path / "in" / "folder.safetensors").mkdir()
    (tmp_path / "in" / "blocked.training").write_text("a file of somebody's")
    before = sorted(tmp_path.rglob("*"))
    given = {"--preset": "gender", "--checkpoint": str(checkpoint), "--out": "gender.safetensors", **changes}
    given["--out"] = given["--out"].replace("READ ONLY", read_only_folder(tmp_path))
    assert exit_code(["train", *(word for pair in given.items() for word in pair)]) == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.startswith("respo_train: ")
    assert line.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def exit_code(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as stopped:  # argparse's own way
        return int(str(stopped.code))


def read_only_folder(tmp_path: Path) -> str:
    """A folder that nobody can write into: for the super-user, who may write anywhere, one of the kernel's."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return "/sys"
    folder = tmp_path / "in"
    folder.chmod(0o555)
    return str(folder)


@pytest.mark.parametrize(
    ("unet_config", "message"),
    [
        ({"image_model": "flux"}, "this model is 'flux' and has none"),
        (
            {"model_channels": 320, "channel_mult": [1, 2, 4], "transformer_depth_middle": -2},
            "had its middle block removed",
        ),
    ],
)
def test_a_model_without_a_middle_block(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    unet_config: dict,
    message: str,
) -> None:
    """As the host's loader describes such models; that it does is tested in tests/host."""
    monkeypatch.setattr(load, "load_unet", lambda *_, **__: Architecture.from_unet_config(unet_config))
    assert main(arguments(checkpoint, tmp_path / "gender.safetensors")) == 2
    assert message in (line := capsys.readouterr().err)
    assert line.count("\n") == 1
    assert os.listdir(tmp_path) == ["in"]


def test_a_lambda_that_would_be_ignored(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    preset = tmp_path / "own.toml"
    preset.write_text(TYPO.replace("neutrall", "neutral") + "lambda = 0.2\n[concepts.b]\ntarget = 'b'\n")
    given = [*arguments(checkpoint, tmp_path / "x.safetensors"), "--preset", str(preset), "--lambda", "1"]
    assert main(given) == 2
    assert "--lambda has no effect on 'a'" in capsys.readouterr().err


def test_warnings_are_one_line_each_and_come_once(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    class Talkative(ToyUNet):
        def encode_prompts(self, prompts: Sequence[str]) -> list[Conditioning]:
            for prompt in prompts:
                warnings.warn(f"{prompt!r} is too long", RespoWarning, stacklevel=1)
            return super().encode_prompts(prompts)

    monkeypatch.setattr(load, "load_unet", lambda *_, **__: Talkative())
    before = warnings.showwarning
    assert main(arguments(checkpoint, tmp_path / "gender.safetensors", "--steps", "1")) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("respo_train: warning: 'a woman' is too long") == 1
    # What the report says of a module that was trained for one step only.
    assert any(line.startswith("respo_train: warning: woman: ") for line in lines)
    assert warnings.showwarning is before


def test_too_little_memory_is_one_line(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def load_unet(*_: object, **__: object) -> ToyUNet:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...\nSee documentation")

    monkeypatch.setattr(load, "load_unet", load_unet)
    assert main(arguments(checkpoint, tmp_path / "gender.safetensors")) == 2
    assert "smaller --batch" in (line := capsys.readouterr().err)
    assert line.count("\n") == 1
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("command", ["plan --steps=--", "audit --tolerance=--", "evaluate --images=--"])
def test_a_value_of_dashes(capsys: pytest.CaptureFixture, command: str) -> None:
    assert exit_code(command.split()) == 2
    assert "expected one argument, found --" in capsys.readouterr().err


def test_the_place_is_really_tried(tmp_path: Path) -> None:
    with pytest.raises(RespoError, match="cannot write into"):
        check_job(read_config("gender"), Path(read_only_folder(tmp_path)) / "gender.safetensors")
    check_job(read_config("gender"), tmp_path / "gender.safetensors")
    assert os.listdir(tmp_path) == []


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


def test_help_names_presets_recipes_and_examples() -> None:
    groups = [action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)]
    train = " ".join(groups[0].choices["train"].format_help().split())
    for name in (*names(PRESETS), *names(RECIPES)):
        assert name in train
    assert "torchrun --nproc_per_node 2 -m respo_train train" in train
    assert "--resume" in train
    assert "resume gender.safetensors --steps 500" in groups[0].choices["resume"].format_help()


def test_a_saved_run_alone_opens_no_file_that_can_hold_code(tmp_path, monkeypatch, capsys):
    """A state may come from a stranger; with --checkpoint its user says what is opened."""
    out, evil = tmp_path / "gender.safetensors", tmp_path / "evil.ckpt"
    evil.touch()
    training_folder(out).mkdir()
    state_path(out).touch()
    identity = Identity(read_config("gender").to_dict(), {"name": "a", "sha256": "b"}, {}, {}, str(evil))
    monkeypatch.setattr("respo_train.cli.train.read_saved", lambda _: Saved(1, identity, ""))
    assert main(["resume", str(out)]) == 2
    assert "name a .safetensors file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a" * 300, "loop", "folder"])
def test_a_name_that_cannot_be_opened_is_one_line(tmp_path, capsys, name):
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    assert main(["info", str(tmp_path / f"{name}.safetensors")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("respo_train: cannot read")
    assert told.count("\n") == 1


class Full(io.StringIO):
    """A terminal that takes nothing: a full disk, or a pipe that nobody reads any more."""

    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def test_what_cannot_be_printed_ends_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = next(path for path in (ROOT / "emoji_world" / "modules").glob("*gender.safetensors"))
    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["info", str(module)]) == 2
    said = "respo_train: cannot print the results: No space left on device. Print them elsewhere.\n"
    assert capsys.readouterr().err == said
    monkeypatch.setattr(sys, "stderr", Full())
    assert main(["info", str(tmp_path / "nothing")]) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder that somebody is in")
def test_in_a_folder_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "gone").mkdir()
    with contextlib.chdir(tmp_path):
        os.chdir("gone")
        (tmp_path / "gone").rmdir()
        assert main(["audit", ".", "--out", "x", "--judge", "emoji world"]) == 2
    assert "cannot go on: No such file or directory. Check that the folder you are in" in capsys.readouterr().err
