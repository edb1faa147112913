"""Memory runs out in the middle of a step: nothing that was trained is lost, and the message helps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_unet import ToyUNet

from respo_train.core.files.checkpoint import load_attribute
from respo_train.job import Base, state_path, train_to_file
from respo_train.memory import OutOfMemory, ran_out
from respo_train.network import Encoded
from respo_train.resume import read_saved
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.team import Team

BASE = Base("toy", "0" * 64)
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB)"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    MemoryError(),
]


class SmallUNet(ToyUNet):
    """Fails in the given one of its passes with gradients: two for each concept and step."""

    fails_at = -1
    error: BaseException = MemoryError()

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def decoder(self, encoded: Encoded, h: Tensor, hook: Any = None) -> Tensor:
        if h.requires_grad:
            self.passes += 1
            if self.passes - 1 == self.fails_at:
                raise self.error
        return super().decoder(encoded, h, hook)


def config(recipe: str = "respo") -> TrainConfig:
    changes = {"steps": 6, "batch": 2, "trajectory_steps": 4, "pictures": 4, "probe": {"nobody": []}}
    return read_config("gender", changes, recipe)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_all_complete_steps_are_kept(tmp_path: Path, threads: None, error: BaseException) -> None:
    """Stopped in the 4th step, in either concept's part of it; then it goes on to the bytes of an unbroken run."""
    whole, out = tmp_path / "whole.safetensors", tmp_path / "out.safetensors"
    train_to_file(config(), ToyUNet(), BASE, whole)
    unet = SmallUNet()
    unet.fails_at, unet.error = 15, error
    with pytest.raises(OutOfMemory) as caught:
        train_to_file(config(), unet, BASE, out, advice="Use less.", overwrite=True)
    message = str(caught.value)
    assert message.startswith("out of memory in step 4 (")
    assert "The state of step 3 is intact" in message
    assert message.endswith("Use less.")
    assert read_saved(state_path(out)).step == load_attribute(out).training["steps_done"] == 3
    train_to_file(config(), ToyUNet(), BASE, out, resume=True)
    for name, module in load_attribute(whole).concepts.items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, load_attribute(out).concepts[name].state_dict()[key])


def test_in_the_first_step_nothing_is_written(tmp_path: Path) -> None:
    unet = SmallUNet()
    unet.fails_at = 0
    out = tmp_path / "out.safetensors"
    with pytest.raises(OutOfMemory, match=r"out of memory in step 1 .*Nothing had been saved before\."):
        train_to_file(config(), unet, BASE, out)
    assert list(tmp_path.iterdir()) == []


def test_beside_the_steps(tmp_path: Path) -> None:
    class Blind(ToyUNet):
        def encode_prompts(self, prompts: Any) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemory, match="beside the steps"):
        train_to_file(config(), Blind(), BASE, tmp_path / "out.safetensors")


def test_one_of_a_team_saves_nothing_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others would have to give their rows."""
    monkeypatch.setattr(Team, "average", lambda *_: None)
    monkeypatch.setattr(Team, "agree", lambda self, wish: wish)
    unet = SmallUNet()
    unet.fails_at = 9
    with pytest.raises(OutOfMemory, match=r"in step 3 .*Nothing had been saved"):
        train_to_file(config(), unet, BASE, tmp_path / "out.safetensors", team=Team(0, 2))


def test_other_errors_are_not_taken_for_it(tmp_path: Path) -> None:
    assert not ran_out(RuntimeError("shapes cannot be multiplied"))
    assert not ran_out(ValueError("out of memory"))
    unet = SmallUNet()
    unet.fails_at, unet.error = 5, RuntimeError("shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes"):
        train_to_file(config(), unet, BASE, tmp_path / "out.safetensors")


LIMITED = """
import resource, sys, torch
sys.path[:0] = ["tests"]
from trainer.test_out_of_memory import *

class Greedy(ToyUNet):
    passes = 0
    def decoder(self, encoded, h, hook=None):
        self.passes += h.requires_grad
        if self.passes == 16:  # the 4th step of the second concept
            resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
            torch.ones(2**34)  # 64 GB
        return super().decoder(encoded, h, hook)

torch.set_num_threads(1)
try:
    train_to_file(config(), Greedy(), BASE, Path(sys.argv[1]))
except OutOfMemory as error:
    print(error)
"""


def test_a_real_limit(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """The processor's own allocator refuses."""
    pytest.importorskip("resource")
    out = tmp_path / "out.safetensors"
    command = [sys.executable, "-c", LIMITED, str(out)]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, timeout=240)
    assert "out of memory in step 4" in done.stdout, done.stderr
    assert "can't allocate memory" in done.stdout
    assert read_saved(state_path(out)).step == 3
