"""How many FLOPs a second this machine sustains, measured in a second or two on the kinds of layers of a U-Net."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_SECONDS = 0.5  # at least, for each kind of layer
# Normalisations, activations and copies have few FLOPs and take as long again as the products on what was measured.
_OTHERS = 0.5


def measured_speed(device: torch.device, dtype: torch.dtype) -> float:
    """Return about how many FLOPs a second a training step reaches on `device` in `dtype`."""
    with torch.inference_mode():
        rates = [_rate(work, flops, device) for work, flops in _layers(device, dtype)]
    # A step has as many FLOPs in convolutions as in the rest; so the mean is of the times.
    return _OTHERS * len(rates) / sum(1 / rate for rate in rates)


def _layers(device: torch.device, dtype: torch.dtype) -> list[tuple[Callable[[], Tensor], int]]:
    def made(*shape: int) -> Tensor:
        return torch.full(shape, 0.01, device=device, dtype=dtype)

    pictures, kernel = made(2, 320, 32, 32), made(320, 320, 3, 3)
    tokens, weight = made(2048, 640), made(2560, 640)
    return [
        (lambda: F.conv2d(pictures, kernel, padding=1), 2 * 2 * 32 * 32 * 320 * 320 * 9),
        (lambda: F.linear(tokens, weight), 2 * 2048 * 640 * 2560),
    ]


def _rate(work: Callable[[], Tensor], flops: int, device: torch.device) -> float:
    work()
    _wait(device)
    times, started = 0, time.perf_counter()
    while times < 3 or time.perf_counter() - started < _SECONDS:
        for _ in range(10 if device.type != "cpu" else 1):
            work()
            times += 1
        _wait(device)
    return flops * times / (time.perf_counter() - started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
