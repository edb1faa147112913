"""Good files of the kinds that this computer's own programs write: training states, pictures, totals, texts."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from respo_train.core.counting.running_total import Total, to_text
from respo_train.core.module.concept import ConceptModule
from respo_train.evaluation.i2p import COLUMNS
from respo_train.report.effect import Effect
from respo_train.report.sheet import Sheet
from respo_train.resume import Identity, save_state
from respo_train.trainer import ConceptState, Losses, TrainState

SIGNATURE, RUN = "signature", "run"
_PICTURES = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)


class _Latents:
    """Stands for an objective's source of latents."""

    def __init__(self) -> None:
        self.found, self.places = torch.ones(2, 4), [1, 2]

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"latents": self.found}

    def numbers(self) -> dict[str, Any]:
        return {"places": self.places}

    def restore(self, tensors: Any, numbers: Any) -> None:
        self.found, self.places = tensors["latents"], numbers["places"]


def training_state(step: int = 0) -> TrainState:
    """Return a run of one concept after 0 or 1 steps."""
    module = ConceptModule(6, 4, 5)
    optimizers: dict[str, torch.optim.Optimizer] = {
        key: torch.optim.Adam(part.parameters()) for key, part in module.named_children()
    }
    return TrainState(step, {"woman": ConceptState(module, optimizers, _Latents(), [Losses(0.5, 0.25)] * step)})


def _save_state(path: Path) -> None:
    base, network = {"name": "model.safetensors", "sha256": "0" * 64}, {"family": "unet-2-8"}
    save_state(path, training_state(1), Identity({"steps": 5}, base, network, {"precision": "float32"}, "model"))


def _save_prompts(path: Path) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, ("a doctor", "hate, violence", 1, 7.5), ("a nurse", "", 2, 7)])


@lru_cache
def written(write: Callable[[Path], Any]) -> tuple[bytes, ...]:
    """Return what a function writes into a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.png"
        write(path)
        return (path.read_bytes(),)


def text(content: Any) -> Callable[[], tuple[bytes, ...]]:
    """Return a file's text; JSON for what is no text."""
    return lambda: ((content if isinstance(content, str) else json.dumps(content)).encode(),)


states = partial(written, _save_state)
csvs = partial(written, _save_prompts)
arrays = partial(written, lambda path: np.save(path.open("wb"), _PICTURES))
pictures = partial(written, lambda path: Image.fromarray(_PICTURES[0]).save(path, "PNG"))
sheets = partial(written, Sheet(RUN, "gender", 1, ("a doctor",), ("before",), _PICTURES[None, None]).save)
latents = partial(
    written, lambda path: safetensors.torch.save_file({"latents": torch.ones(2, 4)}, path, {"signature": SIGNATURE})
)
totals = text(to_text(Total({"0123456789abcdef": ("woman", "man")}, {"judge": "x"})))
effects = text({"run": RUN, "steps": {"1": {"woman": asdict(Effect((1,), (0.5,), (0.5,), (1.0,)))}}})
cells = text({"sha256": "0" * 64, "about": {}})
clips = text({"model_type": "clip"})
concepts = text({"a woman": 0, "a man": 1})
judge_prompts = text(
    "[hair]\nlong = a photo of long hair | a ponytail\nshort = a photo of short hair\nunsure below = 0.6\n"
)
