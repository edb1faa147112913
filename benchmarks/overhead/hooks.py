"""The time that a patched model spends in functions which are not the host's: its patches and wrappers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from benchmarks.speed import cost


@dataclass
class Stopwatch:
    """Sums seconds of the processor's time, which other programs do not lengthen; on a GPU those of the wall."""

    seconds: float = 0.0
    now: Callable[[], float] = field(default_factory=lambda: cost.clock())

    def timed(self, work: Callable) -> Callable:
        """Return `work`, its time added to the sum."""

        @wraps(work)  # with its attributes, in which wrappers find what a patch plans
        def run(*arguments: Any, **named: Any) -> Any:
            started = self.now()
            try:
                return work(*arguments, **named)
            finally:
                self.seconds += self.now() - started

        return run

    def timed_around(self, wrapper: Callable) -> Callable:
        """Return a wrapper of the host's, the time added that it does not spend in what it wraps."""

        def run(executor: Any, *arguments: Any, **named: Any) -> Any:
            inside = Stopwatch()
            result = self.timed(wrapper)(_Within(executor, inside), *arguments, **named)
            self.seconds -= inside.seconds
            return result

        return run


@dataclass
class _Within:
    """Stands in for the host's executor of what a wrapper wraps."""

    executor: Any
    clock: Stopwatch

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.clock.timed(self.executor)(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.executor, name)


def time_hooks(model: Any) -> tuple[Any, Stopwatch]:
    """Return a clone of a host MODEL whose every patch and wrapper is timed, and the watch."""
    timed, watch = model.clone(), Stopwatch()
    for row in timed.model_options["transformer_options"].get("patches", {}).values():
        row[:] = [watch.timed(patch) for patch in row]
    for keys in timed.wrappers.values():
        for row in keys.values():
            row[:] = [watch.timed_around(wrapper) for wrapper in row]
    return timed, watch
