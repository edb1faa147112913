"""The bench's training loop: stopped and resumed, it ends where an uninterrupted run ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from emoji_world.training import Loop, Muon, split_optimizers

STEPS = 230


class Stop(Exception):
    pass


def run(file: Path, stop_at: int | None = None) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 1))
    loop = Loop(model, split_optimizers(model, 0.02, 1e-3), file, STEPS, seed=1)

    def loss_of(generator: torch.Generator) -> Tensor:
        if loop.step == stop_at:
            raise Stop
        x = torch.randn(16, 6, generator=generator)
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    return loop.run(loss_of, "toy")


def test_a_stopped_run_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole.pt")
    with pytest.raises(Stop):
        run(tmp_path / "cut.pt", stop_at=137)
    resumed = run(tmp_path / "cut.pt")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_muon_steps_have_the_size_of_the_learning_rate() -> None:
    p = nn.Parameter(torch.zeros(8, 32))
    optimizer = Muon([p], lr=0.1)
    p.grad = torch.randn(8, 32, generator=torch.Generator().manual_seed(0)) * 1e-3
    optimizer.step()
    singular = torch.linalg.svdvals(p.detach()) / 0.1
    assert singular.min() > 0.6
    assert singular.max() < 1.3
