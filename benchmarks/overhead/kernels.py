"""How many kernels and waits a sampling step consists of, counted on a processor.

The structures are SD 1.5's and Z-Image's, at a small share of their widths: neither number depends on the width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.command import Row

from . import chain

WIDTH, CONTEXT = 32, 16
Z_IMAGE = {"dim": 256, "n_heads": 8, "n_kv_heads": 8, "axes_dims": [8, 12, 12], "cap_feat_dim": CONTEXT}
PIXELS, PICTURES = 128, 2
PROMPT, WORDS = "a photo of a doctor", "doctor"
_SHORT, _LONG = 2, 4  # steps; their difference leaves out what happens once a run
_NO_KERNEL = {"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


class Counted(TorchDispatchMode):
    """Counts `kernels`, which is every operation that computes or copies, and `waits` for a number of the device."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count it."""
        name = func._schema.name.removeprefix("aten::")
        views = any(given.alias_info and not given.alias_info.is_write for given in func._schema.returns)
        self.waits += name in ("_local_scalar_dense", "nonzero")
        self.kernels += not views and name not in _NO_KERNEL
        return func(*args, **(kwargs or {}))


class Tokens:
    """Tokenises as the host's CLIP does: a number for each word, 49 begins, 50 ends and pads."""

    def tokenize(self, text: str) -> dict[str, list]:
        """Return one chunk of tokens and weights."""
        words = [PROMPT.split().index(word) for word in text.split()]
        return {"l": [[(token, 1.0) for token in (49, *words, *[50] * (chain.TOKENS - 1 - len(words)))]]}


def counted(run: Callable[[int], Callable[[], Tensor]]) -> dict[str, float]:
    """Count one step. `run`: a number of steps -> what samples so many."""
    found = []
    for steps in (_SHORT, _LONG):
        run(steps)()  # fills caches
        with Counted() as counter:
            run(steps)()
        found.append((counter.kernels, counter.waits))
    each = [(long - short) / (_LONG - _SHORT) for short, long in zip(*found, strict=True)]
    return dict(zip(("kernels", "waits"), each, strict=True))


def rows(folder: Path) -> Iterator[Row]:
    """Yield a step's kernels and waits, on unpatched models and behind nodes; `folder`: for the modules' files.

    The transformer's modules take the place of the U-Net's, as Safety would refuse those.
    """
    region = chain.load_pack().respo_train.core.pictures.region
    with mock.patch.object(region, "fuses_exactly", return_value=True):  # as on a GPU
        for ways in (_unet_ways, _transformer_ways):
            plain = None
            for name, way in ways(folder).items():
                found = counted(partial(_sampler, way))
                plain = plain or found["kernels"]
                yield name, {**found, "more_percent": 100 * (found["kernels"] / plain - 1)}


def _unet_ways(folder: Path) -> dict[str, Any]:
    model = chain.random_patcher(torch.float32, model_channels=WIDTH, context_dim=CONTEXT)
    balanced = chain.balanced(model, folder)
    mask = torch.zeros(1, PIXELS, PIXELS)
    mask[:, :, PIXELS // 2 :] = 1
    words = {"words": WORDS, "prompt": PROMPT, "clip": Tokens()}
    safe = chain.safe(balanced, folder)
    by_words = chain.run_node("RespoWhere", model=safe, **words)
    by_both = chain.run_node("RespoWhere", model=safe, mask=mask, **words)
    return {
        "unpatched": model,
        "Balance": balanced,
        "Balance, Safety, Background": chain.run_node("RespoBackground", model=safe),
        "the same with Where by words": chain.run_node("RespoBackground", model=by_words),
        "the same with Where by mask and words": chain.run_node("RespoBackground", model=by_both),
    }


def _transformer_ways(folder: Path) -> dict[str, Any]:
    model = chain.random_patcher(torch.float32, "z_image", **Z_IMAGE)
    balanced = chain.balanced(model, folder)
    safe = chain.safe(balanced, folder)
    return {
        "Z-Image, unpatched": model,
        "Z-Image, Balance": balanced,
        "Z-Image, Balance, Safety, Background": chain.run_node("RespoBackground", model=safe),
    }


def _sampler(model: Any, steps: int) -> Callable[[], Tensor]:
    # In inference mode, which is the host's, one would not see what compound operations consist of.
    return chain.sampler(model, PIXELS, steps, PICTURES, torch.no_grad)
