"""`python -m benchmarks.inference_overhead [--steps N] [--kernels] [--json FILE]`: what nodes cost while sampling.

SD 1.5's U-Net with random weights in the real host, one picture of 512 pixels, guidance 7.5: the unpatched model, and
ours behind Balance, Safety and Background. The chain's overhead is the time spent in its patches and wrappers, summed;
two runs' difference would be lost in the noise.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks.command import Row, run, whole
from benchmarks.overhead import chain, kernels
from benchmarks.overhead.hooks import Stopwatch, time_hooks
from benchmarks.speed.cost import peak_bytes
from respo_train.precision import choose_dtype

SIZE = 512


def rows(options: Namespace) -> Iterator[Row]:
    """Yield what a step costs: seconds (of them in hooks), calls of the U-Net, bytes of all tensors but the weights."""
    with tempfile.TemporaryDirectory() as folder:
        if options.kernels:
            yield from kernels.rows(Path(folder))
            return
        model = chain.random_patcher(choose_dtype())
        patched, hooks = time_hooks(chain.full_chain(model, Path(folder)))
        loading = chain.seconds_to_load(Path(folder) / "gender.safetensors")
        calls: list[None] = []
        model.model.diffusion_model.register_forward_pre_hook(lambda *_: calls.append(None))
        chain.sampler(model, SIZE, 1)()  # what is slow but once: memory, kernels
        for name, own in (("unpatched", model), ("Balance, Safety and Background", patched)):
            calls.clear()
            watch = Stopwatch()
            watch.timed(chain.sampler(own, SIZE, options.steps))()
            figures = {
                "seconds_a_step": watch.seconds / options.steps,
                "calls_a_step": len(calls) / options.steps,
                "hooks_percent": 100 * hooks.seconds / watch.seconds,
            }
            yield name, {**figures, "peak_bytes": peak_bytes(chain.sampler(own, SIZE, 1))}
        yield "loading a module", {"milliseconds": 1000 * loading}


OPTIONS = {
    "--steps": whole("sampling steps of each run", 2, 1),
    "--kernels": {"action": "store_true", "help": "only count a step's kernels, on narrow networks: four minutes"},
}

if __name__ == "__main__":
    sys.exit(run("inference_overhead", __doc__, rows, OPTIONS))
