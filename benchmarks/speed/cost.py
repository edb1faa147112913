"""What any piece of work costs: FLOPs, seconds, memory."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode


def flops(work: Callable[[], object]) -> int:
    """Return the FLOPs of `work`, backward passes included; a multiplication and an addition are 2."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def median_seconds(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return each one's median time; they take turns, so that a busy moment hits all alike. The first is not timed."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


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


def clock() -> Callable[[], float]:
    """Return what reads seconds of the processor's time, which other programs do not lengthen; on a GPU the wall's."""
    return _gpu_seconds if torch.cuda.is_available() else time.process_time


def _gpu_seconds() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def process_bytes() -> int | None:
    """Return the most bytes that the process ever held; None where the system does not say."""
    with suppress(ImportError):  # Windows
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return None
