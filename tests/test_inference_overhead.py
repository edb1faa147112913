"""The benchmark of what sampling costs: its watch counts hooks alone, and its two passes do what they say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from benchmarks.overhead.hooks import Stopwatch, time_hooks
from benchmarks.overhead.kernels import Counted
from benchmarks.overhead.two_pass import LOW_BAND_WEIGHT, VECTOR_SCALE, TwoPass
from respo_train.core.pictures.frequency import low_band


class Ticks:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.time = 0.0

    def spend(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    clock = Ticks()
    monkeypatch.setattr("benchmarks.speed.cost.clock", lambda: lambda: clock.time)
    return clock


def test_a_wrapper_counts_without_what_it_wraps(ticks: Ticks) -> None:
    def wrapper(executor, x):
        ticks.spend(2)
        result = executor(x)
        ticks.spend(3)
        return result, executor.class_obj

    class Executor:
        class_obj = "guider"

        def __call__(self, x):
            ticks.spend(100)
            return 2 * x

    watch = Stopwatch()
    assert watch.timed_around(wrapper)(Executor(), 4) == (8, "guider")
    assert watch.seconds == 5


def test_every_patch_and_wrapper_is_timed_in_a_clone(ticks: Ticks) -> None:
    patches = {"output_block_patch": [lambda: ticks.spend(1)], "attn2_patch": [lambda: ticks.spend(10)]}
    wrappers = {"predict_noise": {"respo": [lambda executor: (ticks.spend(100), executor())]}}

    def model():
        options = {"transformer_options": {"patches": {name: list(row) for name, row in patches.items()}}}
        copy = {kind: {key: list(row) for key, row in keys.items()} for kind, keys in wrappers.items()}
        return SimpleNamespace(model_options=options, wrappers=copy, clone=model)

    given = model()
    timed, watch = time_hooks(given)
    for row in timed.model_options["transformer_options"]["patches"].values():
        row[0]()
    timed.wrappers["predict_noise"]["respo"][0](lambda: ticks.spend(1000))
    assert watch.seconds == 111
    assert given.model_options["transformer_options"]["patches"] == patches
    assert given.wrappers == wrappers


def test_kernels_are_counted_without_views() -> None:
    x = torch.zeros(4, 4)
    with Counted() as counter:
        (x.T.unsqueeze(0)[0, 1:] + 1).sum()
        x.new_empty(3)
    assert (counter.kernels, counter.waits) == (2, 0)
    with Counted() as counter:
        x[0, 0].item()
    assert counter.waits == 1


class Network(nn.Module):
    """h is the sum of what came in, so that the second run can be told from the first."""

    def __init__(self) -> None:
        super().__init__()
        self.middle_block = nn.Sequential(nn.Identity())
        self.seen: list[Tensor] = []

    def forward(self, h: Tensor) -> Tensor:
        self.seen.append(self.middle_block(h))
        return self.seen[-1]


@pytest.mark.parametrize("size", [(8, 8), (5, 7)])
def test_two_passes(size: tuple[int, int]) -> None:
    network, steps = Network(), [torch.randn(2, 6, *size) for _ in range(3)]
    vector = torch.randn(6)
    passes = TwoPass(network, vector)
    passes.run(lambda: [network(h) for h in steps][-1])
    assert len(network.seen) == 6
    assert passes.transforms == 3 * 6
    for h, first, second in zip(steps, network.seen[:3], network.seen[3:], strict=True):
        assert torch.equal(first, h)
        change = VECTOR_SCALE * vector[:, None, None] + LOW_BAND_WEIGHT * low_band(h[:1])
        assert torch.allclose(second, h + change, atol=1e-6)
    assert not network.middle_block[0]._forward_hooks
