"""torch.compile: the traced network is steered as the plain one is, also where a range begins late."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def compiled():
    """compiled(model, backend) -> the MODEL as TorchCompileModel gives it."""

    def compile_it(model, backend):
        from comfy_api.torch_helpers import set_torch_compile_wrapper

        model = model.clone()
        set_torch_compile_wrapper(model=model, backend=backend)
        return model

    yield compile_it
    torch.compiler.reset()


@pytest.fixture
def steered(run_node, model, module):
    """Balance from the middle of the run on, and Apply Module at once."""
    late = run_node("RespoBalance", model=model, module=module, start_percent=0.4)[0]
    return run_node("RespoApplyModule", model=late, module=module, strength=0.5)[0]


def test_traced(compiled, steered, sample, model):
    """The tracer alone, which is what could freeze a branch; it runs PyTorch's own kernels: the same bits."""
    wanted = sample(steered)
    assert torch.equal(sample(compiled(steered, "eager")), wanted)
    assert not torch.equal(wanted, sample(model))
