"""CLIP as a zero-shot judge: which of several sentences fits a picture best (Radford et al., arXiv 2103.00020).

It uses `transformers` with a folder on this computer: nothing is downloaded, and no code or pickle in the folder is
run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from ..core.errors import RespoError
from ..core.files.text import read_text
from ..core.judge import Verdict, decide
from .clip_prompts import parse_prompts
from .package import require

_LOCAL = {"local_files_only": True, "trust_remote_code": False}
_WEIGHTS = "model.safetensors"
_FILES = (  # one choice of each line is required
    ((_WEIGHTS,),),
    (("tokenizer.json",), ("vocab.json", "merges.txt")),
    (("preprocessor_config.json",), ("processor_config.json",)),
)


class ClipJudge:
    """The label is the class whose prompts have the largest share of the softmax over all prompts of the attribute."""

    def __init__(self, folder: Path, prompts: str = "", device: str | torch.device = "cpu") -> None:
        """Load the model from `folder`.

        Raises RespoError: not a CLIP model, missing files, or prompts that cannot be parsed.
        """
        self._questions = parse_prompts(prompts)
        self.name = f"{folder.name} (zero shot)"
        self.classes: Mapping[str, tuple[str, ...]] = {name: tuple(q.prompts) for name, q in self._questions.items()}
        self._device = device
        self._model, self._processor = _load(folder, device)

    def verdicts(self, images: Tensor, batch: int = 64) -> dict[str, Verdict]:
        """Return a Verdict for each attribute. `images`: `[B, 3, H, W]` in 0 … 1."""
        sentences = [p for question in self._questions.values() for own in question.prompts.values() for p in own]
        fits = torch.cat([self.logits(part, sentences) for part in images.split(batch)])
        found, start = {}, 0
        for name, question in self._questions.items():
            sizes = [len(own) for own in question.prompts.values()]
            shares = fits[:, start : start + sum(sizes)].softmax(-1).split(sizes, -1)
            probabilities = torch.stack([share.sum(-1) for share in shares], -1)
            found[name] = decide(tuple(question.prompts), probabilities, [question.threshold] * len(sizes))
            start += sum(sizes)
        return found

    @torch.inference_mode()
    def logits(self, images: Tensor, sentences: Sequence[str]) -> Tensor:
        """Return `[B, S]` for images `[B, 3, H, W]` in 0 … 1 and S sentences: 100 times the cosine, as in training."""
        pixels = list((images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
        given = self._processor(
            text=list(sentences), images=pixels, return_tensors="pt", padding=True, truncation=True
        ).to(self._device)
        fits: Tensor = self._model(**given).logits_per_image.float().cpu()
        return fits


def _load(folder: Path, device: str | torch.device) -> tuple[Any, Any]:
    transformers = require("transformers", "transformers", "CLIP")
    _require_files(folder)
    try:
        processor = transformers.CLIPProcessor.from_pretrained(str(folder), **_LOCAL)
        model, found = transformers.CLIPModel.from_pretrained(
            str(folder), use_safetensors=True, output_loading_info=True, **_LOCAL
        )
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RuntimeError, SafetensorError) as error:
        raise RespoError(
            f"the CLIP model in {folder} cannot be loaded ({' '.join(str(error).split())[:300]}). Copy all its files "
            "there again."
        ) from error
    if found["missing_keys"]:
        raise RespoError(
            f"expected all of a CLIP model's weights in {folder / _WEIGHTS}, {len(found['missing_keys'])} are missing."
        )
    return model.to(device).eval(), processor


def _require_files(folder: Path) -> None:
    """Raise RespoError for another kind of model and for missing files, in whose place `transformers` uses defaults."""
    try:
        kind = json.loads(read_text(folder / "config.json", "the judge's configuration")).get("model_type")
    except (ValueError, AttributeError, RecursionError) as error:
        raise RespoError(f"{folder / 'config.json'} cannot be loaded: {error}.") from error
    if kind != "clip":
        raise RespoError(f"expected a CLIP model in {folder}, found {str(kind)[:40]!r} in its config.json.")
    for choice in _FILES:
        if not any(all((folder / name).is_file() for name in names) for names in choice):
            wanted = " or ".join(" and ".join(names) for names in choice)
            raise RespoError(
                f"expected {wanted} in {folder}: copy all files of the model there. Weights in other formats than "
                "safetensors can run code and are not opened."
            )
