from __future__ import annotations

import pytest
import torch
from torch import Tensor

from respo_train.latents.ddim import ddim_step, ddim_timesteps
from respo_train.latents.trajectory import Trajectories

ALPHAS = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)
SHAPE = (4, 6, 5)


def test_timesteps_start_at_the_last_one_and_are_even() -> None:
    timesteps = ddim_timesteps(1000, 50)
    assert timesteps.tolist() == list(range(999, 0, -20))
    assert ddim_timesteps(1000, 1000).tolist() == list(range(999, -1, -1))
    for steps in (3, 7, 30):
        found = ddim_timesteps(1000, steps)
        assert found[0] == 999
        assert found[-1] >= 0
        assert (found[:-1] - found[1:] - 1000 / steps).abs().max() <= 1


def test_step_keeps_picture_and_noise() -> None:
    picture, noise = torch.randn(2, 3, *SHAPE)
    now, after = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.3, 0.8, 1.0])

    def mixed(alpha: Tensor) -> Tensor:
        alpha = alpha.view(3, 1, 1, 1)
        return alpha.sqrt() * picture + (1 - alpha).sqrt() * noise

    torch.testing.assert_close(ddim_step(mixed(now), noise, now, after), mixed(after), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("batch", "steps"), [(1, 5), (4, 10), (7, 3)])
def test_latents_and_timesteps_agree(batch: int, steps: int) -> None:
    """With a perfect predictor of one picture, each latent is that picture and its first noise, mixed as t says."""
    picture = torch.randn(SHAPE)

    def noise_in(latents: Tensor, timesteps: Tensor) -> Tensor:
        alpha = ALPHAS[timesteps].view(-1, 1, 1, 1)
        return (latents - alpha.sqrt() * picture) / (1 - alpha).sqrt()

    run = Trajectories.start("key", ALPHAS, steps, batch, SHAPE)
    first = noise_in(run.latents, run.current_timesteps)
    run.stagger(lambda latents, timesteps, _rows: noise_in(latents, timesteps))
    assert sorted(run.positions) == [b * steps // batch for b in range(batch)]
    for _ in range(2 * steps):
        found = noise_in(run.latents, run.current_timesteps)
        for b in range(batch):
            if run.positions[b] == 0:
                first[b] = found[b]
            torch.testing.assert_close(found[b], first[b], rtol=1e-3, atol=1e-3)
        run.advance(found)


def test_a_batch_covers_all_noise_levels_all_the_time() -> None:
    run = Trajectories.start("key", ALPHAS, 20, 10, SHAPE)
    run.stagger(lambda latents, _timesteps, _rows: latents)
    for _ in range(45):
        assert sorted(p // 2 for p in run.positions) == list(range(10))
        run.advance(run.latents)


def test_noise_is_fresh_for_every_picture_and_the_same_for_the_same_key() -> None:
    starts = []
    for key in ("0 woman", "0 woman", "0 man"):
        run = Trajectories.start(key, ALPHAS, 2, 3, SHAPE)
        first = run.latents.clone()
        run.advance(run.latents)
        run.advance(run.latents)
        assert run.rounds == [1, 1, 1]
        starts.append(torch.cat([first, run.latents]))
    assert torch.equal(starts[0], starts[1])
    every = torch.cat(starts[1:]).flatten(1)
    correlation = torch.corrcoef(every) - torch.eye(len(every))
    assert correlation.abs().max() < 0.5
    assert every.std() == pytest.approx(1, abs=0.1)
