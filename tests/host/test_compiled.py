"""torch.compile: the traced network is steered as the plain one is, also where a range begins late."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from benchmarks.overhead.kernels import PROMPT, Tokens


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


@pytest.fixture
def graphs(monkeypatch):
    """graphs(compiled model) -> how many graphs its network is traced as, in a run of one kind of call.

    With PyTorch's own attention, as on a GPU: the one that the host chooses on a CPU reads a file.
    """
    from comfy.ldm.modules import attention

    monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)
    monkeypatch.setattr(attention, "optimized_attention_masked", attention.attention_pytorch)
    found = []

    def count(graph, inputs):
        found.append(graph)
        return graph.forward

    return SimpleNamespace(backend=count, found=found)


@pytest.fixture
def chain(run_node, model, module):
    """Balance -> Safety's kind of edit -> Where by mask and words -> Background, with a range and a map."""
    mask = torch.zeros(1, 16, 16)
    mask[:, 4:] = 1
    steered = run_node("RespoBalance", model=model, module=module)[0]
    steered = run_node("RespoApplyModule", model=steered, module=module, end_percent=0.8)[0]
    steered = run_node("RespoApplyModule", model=steered, module=module, mask=mask, concept="man")[0]
    words = {"words": "doctor", "clip": Tokens(), "prompt": PROMPT}
    steered = run_node("RespoWhere", model=steered, mask=mask, **words)[0]
    return run_node("RespoBackground", model=steered)[0]


def test_a_chain_is_one_graph(compiled, chain, sample, graphs):
    wanted = sample(chain)
    assert torch.equal(sample(compiled(chain, graphs.backend)), wanted)
    assert len(graphs.found) == 1
