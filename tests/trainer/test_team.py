"""Two real processes, started by torchrun, train what one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from toy_unet import ToyUNet

from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import load_attribute
from respo_train.job import Base, state_path, train_to_file
from respo_train.resume import read_saved
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.team import ALONE, Team, join_team

TOY_COMMAND = Path(__file__).parent / "toy_command.py"
PATIENCE = 240  # seconds; three processes import torch, perhaps on a busy machine


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    path = tmp_path / "toy.safetensors"
    path.write_bytes(b"toy")
    return path


def config(steps: int) -> TrainConfig:
    return read_config("gender", {"steps": steps, "batch": 6})


def alone(toy: Path, name: str, steps: int, **options: Any) -> Path:
    """Train in this process alone; return the module."""
    out = toy.with_name(name)
    train_to_file(config(steps), ToyUNet(), Base.of(toy), out, **options)
    return out


def start(toy: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start two processes on the real command line, in a process group of their own as a terminal would."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", TOY_COMMAND]
    given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([*command, *arguments], env=given, start_new_session=True, **pipes)


def training(toy: Path, name: str, steps: int, *more: str) -> list[str]:
    common = ["--preset", "gender", "--checkpoint", str(toy), "--out", str(toy.with_name(name)), "--batch", "6"]
    return ["train", *common, "--steps", str(steps), "--preview-every", "0", *more]


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return exit code and output; on a hang end the group."""
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output


def differences(first: Path, second: Path) -> Iterator[tuple[str, float]]:
    """Yield each tensor's largest difference, relative to its largest entry."""
    one, two = (safetensors.torch.load_file(path) for path in (first, second))
    assert one.keys() == two.keys()
    for key, value in one.items():
        if key != "numbers":
            yield key, float((value - two[key]).abs().max() / value.abs().max().clamp_min(1e-12))


def assert_close(first: Path, second: Path, limit: float) -> None:
    assert {key: size for key, size in differences(first, second) if size > limit} == {}


def test_two_processes_train_what_one_does(toy: Path) -> None:
    """The state as well, row by row; and one process goes on with what two began, and two with what one began."""
    one, whole = alone(toy, "one.safetensors", 6), alone(toy, "whole.safetensors", 12)
    code, output = finished(start(toy, *training(toy, "two.safetensors", 6)))
    two = toy.with_name("two.safetensors")
    assert code == 0, output
    assert_close(one, two, 1e-4)
    assert_close(state_path(one), state_path(two), 1e-3)
    numbers = [safetensors.torch.load_file(state_path(out))["numbers"] for out in (one, two)]
    assert torch.equal(*numbers)
    assert not torch.equal(_latents(one)[0], _latents(one)[1])
    assert load_attribute(two).training["compute"]["processes"] == 2
    # Process 1 is not able to write (toy_command.py sees to that), and does not speak.
    assert output.count("woman, man on unet-8-8") == output.count(f"wrote {two}") == 1

    alone(toy, "two.safetensors", 12, resume=True)
    assert_close(whole, two, 1e-3)
    code, output = finished(start(toy, *training(toy, "one.safetensors", 12, "--resume")))
    assert code == 0, output
    assert_close(whole, one, 1e-3)


def _latents(out: Path) -> Tensor:
    return safetensors.torch.load_file(state_path(out))["woman.source.latents"]


def test_ctrl_c_stops_all_processes_and_saves(toy: Path) -> None:
    out = toy.with_name("gender.safetensors")
    process = start(toy, *training(toy, out.name, 10_000, "--save-every", "2"), TOY_SECONDS="0.1")
    started = time.monotonic()
    while not state_path(out).exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, output = finished(process)
    saved = read_saved(state_path(out)).step
    assert f"stopped at step {saved}: all is saved" in output
    assert load_attribute(out).training["steps_done"] == saved
    assert "lost the others" not in output
    assert_close(alone(toy, "one.safetensors", saved), out, 1e-3)


def test_an_error_in_one_process_ends_the_other(toy: Path) -> None:
    out = toy.with_name("gender.safetensors")
    code, output = finished(start(toy, *training(toy, out.name, 10_000, "--save-every", "1"), TOY_FAIL="1"))
    assert code != 0
    assert "a toy's out of memory" in output
    assert read_saved(state_path(out)).step > 1


def test_the_batch_has_to_be_shared_evenly(tmp_path: Path) -> None:
    assert [list(Team(rank, 2).rows(6)) for rank in range(2)] == [[0, 2, 4], [1, 3, 5]]
    with pytest.raises(RespoError, match=r"4 processes can share evenly, found 6: batch 8, or processes"):
        train_to_file(config(3), ToyUNet(), Base("toy", "0" * 64), tmp_path / "x.safetensors", team=Team(0, 4))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("nccl", "backend"), [(True, "cpu:gloo,cuda:nccl"), (False, "gloo")])
def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch, nccl: bool, backend: str) -> None:
    """Without nccl, as on Windows, gloo carries the GPUs' numbers as well."""
    seen: list[Any] = []
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", seen.append)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: nccl)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda name, timeout: seen.append(name))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    assert join_team() == Team(1, 2)
    assert seen == [1, backend]


def test_without_torchrun_there_is_no_team(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert join_team() == ALONE
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert join_team() == ALONE
    assert not torch.distributed.is_initialized()
