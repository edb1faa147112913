"""`python -m benchmarks.inference_overhead [--steps N] [--kernels] [--json FILE]`: what nodes cost while sampling.

SD 1.5's U-Net with random weights in the real host, one picture of 512 pixels, guidance 7.5: the unpatched model, ours
behind Balance, Safety and Background, and the second paper's own two passes restated. The chain's overhead is the time
spent in its patches and wrappers, summed; two runs' difference would be lost in the noise.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from benchmarks.command import at_least, parser_of, write_figures
from benchmarks.overhead import chain, kernels
from benchmarks.overhead.hooks import CountedCalls, Stopwatch, time_hooks
from benchmarks.overhead.two_pass import TwoPass
from benchmarks.speed.cost import peak_bytes
from respo_train.precision import Precision, choose_dtype

SIZE = 512
STEPS_OF_A_PICTURE = 50
ROW = "{:<34}{:>14}{:>14}{:>12}"


@dataclass(frozen=True)
class Cost:
    """What a sampling step costs.

    `seconds`: processor time (on a GPU wall time). `hooks`: the seconds of these spent in hooks. `calls`: of the U-Net.
    `bytes`: the peak of all tensors but the weights, in a run of one step.
    """

    seconds: float
    hooks: float
    calls: float
    bytes: int


def cost(network: torch.nn.Module, make: Callable[[int], Callable[[], Tensor]], steps: int, hooks: Stopwatch) -> Cost:
    """Measure a way. `make`: a number of steps -> what samples a picture in so many; `hooks`: the watch on hooks."""
    watch, before = Stopwatch(), hooks.seconds
    with CountedCalls(network) as counted:
        watch.timed(make(steps))()
    spent = hooks.seconds - before
    return Cost(watch.seconds / steps, spent / steps, counted.calls / steps, peak_bytes(make(1)))


def measure(steps: int, dtype: torch.dtype) -> dict[str, Any]:
    """Measure all three ways and the loading of a module."""
    started = time.perf_counter()
    model = chain.random_patcher(dtype)
    network = model.model.diffusion_model
    with tempfile.TemporaryDirectory() as folder:
        patched, watch = time_hooks(chain.full_chain(model, Path(folder)))
        loading = chain.seconds_to_load(Path(folder) / "gender.safetensors")
    ways = {"unpatched": lambda n: chain.sampler(model, SIZE, n), "chain": lambda n: chain.sampler(patched, SIZE, n)}
    theirs = TwoPass(network, torch.full((chain.GRID[0],), 0.05))
    ways["two passes"] = lambda n: lambda: theirs.run(ways["unpatched"](n))
    ways["unpatched"](1)()  # what is slow but once: memory, kernels
    found = {name: cost(network, make, steps, watch) for name, make in ways.items()}
    return {
        "chain_overhead_percent": 100 * found["chain"].hooks / found["chain"].seconds,
        "extra_model_calls": found["chain"].calls - found["unpatched"].calls,
        "two_pass_ratio": found["two passes"].seconds / found["chain"].seconds,
        "ways": {name: vars(way) for name, way in found.items()},
        "transforms_per_picture": STEPS_OF_A_PICTURE * theirs.transforms // (steps + 1),
        "load_module_ms": 1000 * loading,
        "steps": steps,
        "pixels": SIZE,
        "precision": str(dtype).removeprefix("torch."),
        "device": model.load_device.type,
        "threads": torch.get_num_threads(),
        "minutes": (time.perf_counter() - started) / 60,
    }


def report(figures: dict[str, Any]) -> str:
    """Return the figures as a table for people."""
    lines = [ROW.format("", "seconds/step", "U-Net calls", "peak MB")]
    for name, way in figures["ways"].items():
        numbers = f"{way['seconds']:.2f}", f"{way['calls']:.0f}", f"{way['bytes'] / 1e6:.0f}"
        lines.append(ROW.format(name, *numbers))
    lines += [
        f"chain: its own code takes {figures['chain_overhead_percent']:.3f} % of a step "
        f"({1000 * figures['ways']['chain']['hooks']:.2f} ms), {figures['extra_model_calls']:+.0f} U-Net calls",
        f"two passes / chain: {figures['two_pass_ratio']:.2f}; wavelet transforms of a picture of {STEPS_OF_A_PICTURE} "
        f"steps: {figures['transforms_per_picture']}",
        f"loading a module: {figures['load_module_ms']:.1f} ms",
        f"{figures['steps']} steps, {figures['pixels']} px, {figures['precision']}, {figures['device']}, "
        f"{figures['threads']} threads; {figures['minutes']:.1f} minutes in all",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, print, write; returns the exit status."""
    parser = parser_of("inference_overhead", __doc__)
    parser.add_argument(
        "--steps", type=at_least(1), default=2, metavar="N", help="sampling steps of each run (default 2)"
    )
    parser.add_argument("--precision", choices=get_args(Precision), default="auto", help="of weights and sums")
    parser.add_argument(
        "--kernels", action="store_true", help="only count the kernels of a step, on narrow networks: four minutes"
    )
    options = parser.parse_args()
    if options.kernels:
        with tempfile.TemporaryDirectory() as folder:
            figures: dict[str, Any] = kernels.measure(Path(folder))
        print(kernels.report(figures))
    else:
        figures = measure(options.steps, choose_dtype(options.precision))
        print(report(figures))
    write_figures(options.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
