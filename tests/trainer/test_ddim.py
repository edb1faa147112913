"""DDIM as diffusers has it."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

if sys.version_info < (3, 11):
    pytest.skip("no diffusers for this Python goes with the pinned packages", allow_module_level=True)

from parity.scheduler import scheduler as theirs

from respo_train.latents.ddim import ddim_step, schedule


def noise_in(z: Tensor, t: Tensor) -> Tensor:
    """Stands for a U-Net: something of the latents and the time."""
    return (0.5 * z + t / 1000).tanh() + 0.3 * z.roll(1, 3)


@pytest.mark.parametrize("steps", [1, 2, 8, 10, 20, 25, 50, 100, 1000])
def test_a_whole_trajectory(steps: int) -> None:
    scheduler = theirs(steps)
    timesteps, alphas = schedule(scheduler.alphas_cumprod, steps)
    assert torch.equal(timesteps, scheduler.timesteps)
    z = expected = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    for step, t in enumerate(timesteps):
        z = ddim_step(z, noise_in(z, t), alphas[step].expand(2), alphas[step + 1].expand(2))
        expected = scheduler.step(noise_in(expected, t), t, expected).prev_sample
        torch.testing.assert_close(z, expected, rtol=1e-5, atol=1e-5)
    assert alphas[-1] == 1


@pytest.mark.parametrize("steps", [3, 7, 30])
def test_steps_that_do_not_divide_the_schedule(steps: int) -> None:
    """The timesteps agree, and each step of ours ends where the next one begins.

    There diffusers steps a fixed distance down, past or short of its own next timestep.
    """
    scheduler = theirs(steps)
    timesteps, alphas = schedule(scheduler.alphas_cumprod, steps)
    assert torch.equal(timesteps, scheduler.timesteps)
    assert torch.equal(alphas[:-1], scheduler.alphas_cumprod[timesteps])
