"""The benchmark of what sampling costs: its watch counts hooks alone, and every kernel counts but views."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from benchmarks.overhead.hooks import Stopwatch, time_hooks
from benchmarks.overhead.kernels import Counted


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
