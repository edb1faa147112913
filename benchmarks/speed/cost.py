"""What a step costs: FLOPs, seconds, memory; and both loops' steps on Emoji World."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from respo_train.host.load import load_unet
from respo_train.network import SplitNetwork

from .released import mean_trajectory
from .steps import Step, configuration, our_step, released_step

# The released step's cost is a straight line in k: two points give its mean.
SHORT, LONG = 1, 3


def flops(work: Callable[[], object]) -> int:
    """Return the FLOPs of `work`, backward passes included; a multiplication and an addition are 2."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def median_seconds(steps: Mapping[str, Step], rounds: int) -> dict[str, float]:
    """Return each step's median time; the steps take turns, so that a busy moment hits all alike."""
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            _wait()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) for name, found in times.items()}


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most bytes of tensors that `work` has alive at once, beyond those alive before it.

    On a GPU the allocator's own count. On a CPU the sum over the profiler's record of every allocation: exact and the
    same every time, which the process's resident size is not; work space inside of kernels is not seen.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        work()
    found = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    alive = peak = 0
    for event in sorted(found, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    return peak


def process_bytes() -> int | None:
    """Return the most bytes that the process ever held; None where the system does not say."""
    with suppress(ImportError):  # Windows
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return None


def at_mean(short: float, long: float) -> float:
    """Return the released step's mean cost from that of trajectories of SHORT and LONG steps."""
    slope = (long - short) / (LONG - SHORT)
    return short + slope * (mean_trajectory(configuration("released").trajectory_steps) - SHORT)


def on_emoji_world(checkpoint: Path, rounds: int) -> dict[str, Any]:
    """Measure both loops' steps of one concept: FLOPs, seconds, memory.

    "equal": both float32, batch 1. "own": theirs float32 with batch 1, ours as `auto` chooses with the recipe's batch;
    one step of ours then learns from that many latents.
    """
    exact, own = load_unet(checkpoint, "float32"), load_unet(checkpoint, "auto")
    batch = configuration("respo").batch
    ours = {"ours": our_step(exact, 1), "ours, paper's target": our_step(exact, 1, target_from="unconditional")}
    theirs = {name: released_step(exact, k) for name, k in (("short", SHORT), ("long", LONG))}
    own_steps = {"ours, own, batch 1": our_step(own, 1), "ours, own": our_step(own, batch)}
    steps = {**ours, **theirs, **own_steps}
    seconds = median_seconds(steps, rounds)
    operations = {name: flops(step) for name, step in steps.items()}
    memory = {name: peak_bytes(step) for name, step in steps.items()}
    return {
        "batch": batch,
        "precision": str(own._dtype).removeprefix("torch."),
        "flops": _merged(operations),
        "seconds": _merged(seconds),
        "peak_bytes": {**_merged(memory), "released": max(memory["short"], memory["long"])},
        "forward_flops": _forward_flops(exact),
    }


def _merged(found: Mapping[str, float]) -> dict[str, float]:
    rest = {name: value for name, value in found.items() if name not in ("short", "long")}
    return {"released": at_mean(found["short"], found["long"]), **rest}


def _forward_flops(unet: SplitNetwork) -> int:
    """Return one forward pass's FLOPs: the unit of "forward equivalents"."""
    (prompt,) = unet.encode_prompts(["a person"])
    latents = torch.zeros(1, *unet.latent_shape, device=unet.alphas_cumprod.device)

    def forward() -> None:
        encoded = unet.encoder(latents, torch.zeros(1, dtype=torch.long, device=latents.device), prompt)
        unet.decoder(encoded, encoded.h)

    return flops(forward)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
