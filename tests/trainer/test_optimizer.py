from __future__ import annotations

import copy

import pytest
import torch

from respo_train.optimizer import OneScaleAdam


def test_one_step_restated() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    optimizer = OneScaleAdam([parameter], lr=0.1, weight_decay=0.5)
    grads = torch.tensor([[4.0, 0.0, -0.2], [2.0, 1.0, 0.0]])
    expected, mean, square = parameter.detach().clone(), torch.zeros(3), 0.0
    for step, grad in enumerate(grads, 1):
        parameter.grad = grad
        optimizer.step()
        mean, square = 0.9 * mean + 0.1 * grad, 0.99 * square + 0.01 * float((grad**2).mean())
        change = (mean / (1 - 0.9**step)) / (square / (1 - 0.99**step)) ** 0.5
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * change
        torch.testing.assert_close(parameter.detach(), expected)


def test_what_matters_moves_and_noise_does_not() -> None:
    """A border whose gradients are small noise: Adam moves it as far as the middle, one scale does not."""
    moved = {}
    for kind in (torch.optim.AdamW, OneScaleAdam):
        parameter = torch.nn.Parameter(torch.zeros(2, 500))
        optimizer = kind([parameter], lr=0.1, weight_decay=0.0)
        generator = torch.Generator().manual_seed(0)
        for _ in range(100):
            parameter.grad = torch.randn(2, 500, generator=generator) * torch.tensor([[1.0], [0.01]])
            optimizer.step()
        sizes = parameter.detach().norm(dim=1)
        moved[kind] = float(sizes[1] / sizes[0])
    assert moved[torch.optim.AdamW] == pytest.approx(1, abs=0.2)
    assert moved[OneScaleAdam] < 0.02


def test_parameters_without_gradient_stay_and_state_comes_back() -> None:
    first, second = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimizer = OneScaleAdam([first, second], lr=0.1)
    first.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(second, torch.ones(3))
    copies = [torch.nn.Parameter(p.detach().clone()) for p in (first, second)]
    again = OneScaleAdam(copies, lr=0.1)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for parameters, one in (((first, second), optimizer), (copies, again)):
        parameters[0].grad = torch.tensor([1.0, 2.0, 3.0])
        one.step()
    assert torch.equal(first, copies[0])
