"""`python -m benchmarks.inference_overhead [--steps N] [--kernels] [--json FILE]`: what nodes cost while sampling.

SD 1.5's U-Net with random weights in the real host, one picture of 512 pixels, guidance 7.5: the unpatched model, ours
behind Balance, Safety and Background, and the second paper's own two passes restated. The chain's overhead is the time
spent in its patches and wrappers, summed; two runs' difference would be lost in the noise.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.command import Row, run, whole
from benchmarks.overhead import chain, kernels
from benchmarks.overhead.hooks import Stopwatch, time_hooks
from benchmarks.overhead.two_pass import TwoPass
from benchmarks.speed.cost import peak_bytes
from respo_train.precision import choose_dtype

SIZE = 512
STEPS_OF_A_PICTURE = 50
Way = Callable[[int], Callable[[], object]]  # a number of steps -> what samples a picture in so many


def rows(options: Namespace) -> Iterator[Row]:
    """Yield what a step costs in each way, and what loading a module does."""
    with tempfile.TemporaryDirectory() as folder:
        if options.kernels:
            yield from kernels.rows(Path(folder))
            return
        model = chain.random_patcher(choose_dtype())
        patched, hooks = time_hooks(chain.full_chain(model, Path(folder)))
        loading = chain.seconds_to_load(Path(folder) / "gender.safetensors")
        theirs = TwoPass(model.model.diffusion_model, torch.full((chain.architecture_of(model).middle_channels,), 0.05))
        ways: dict[str, Way] = {
            "unpatched": partial(chain.sampler, model, SIZE),
            "chain": partial(chain.sampler, patched, SIZE),
            "two passes": lambda steps: partial(theirs.run, chain.sampler(model, SIZE, steps)),
        }
        ways["unpatched"](1)()  # what is slow but once: memory, kernels
        found = {}
        for name, way in ways.items():
            found[name] = cost(model.model.diffusion_model, way, options.steps, hooks)
            yield name, found[name]
    plain, ours = found["unpatched"], found["chain"]
    figures = {
        "chain_overhead_percent": 100 * ours["hooks"] / ours["seconds"],
        "extra_model_calls": ours["calls"] - plain["calls"],
        "two_pass_ratio": found["two passes"]["seconds"] / ours["seconds"],
        "transforms_per_picture": STEPS_OF_A_PICTURE * theirs.transforms // (options.steps + 1),
        "load_module_ms": 1000 * loading,
    }
    yield "in all", figures


def cost(network: torch.nn.Module, way: Way, steps: int, hooks: Stopwatch) -> dict[str, float]:
    """Return what a step takes: seconds, of these in hooks, calls of the network, peak bytes without the weights."""
    calls: list[None] = []
    counting = network.register_forward_pre_hook(lambda *_: calls.append(None))
    watch, before = Stopwatch(), hooks.seconds
    watch.timed(way(steps))()
    counting.remove()
    spent = {"seconds": watch.seconds, "hooks": hooks.seconds - before, "calls": len(calls)}
    return {**{name: amount / steps for name, amount in spent.items()}, "bytes": peak_bytes(way(1))}


OPTIONS = {
    "--steps": whole("sampling steps of each run", 2, 1),
    "--kernels": {"action": "store_true", "help": "only count a step's kernels, on narrow networks: four minutes"},
}

if __name__ == "__main__":
    sys.exit(run("inference_overhead", __doc__, rows, OPTIONS))
