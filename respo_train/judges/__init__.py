"""All kinds of judges behind one interface (`core.judge.AnyJudge`), one file for each kind.

A judge returns a label and its confidence, or "unsure" below a threshold of its own:

| judge | asks | unsure below |
|---|---|---|
| Emoji World's | gender, skin, profession, weapon | .55 |
| CLIP, zero shot | the questions in `clip_prompts.py`, or the user's | .6 of 2 classes, .5 of 3, or the user's value |
| NudeNet | nudity | no: .7, yes: .5 – a finding between .3 and .5 is neither |
| Open-NSFW | explicit | no: .8, yes: .8 – its makers' interpretation of the score |
| Faces | gender, age, skin_tone | .8, .5, .5; faces of a similar size have to agree |
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch

from ..core.errors import RespoError
from ..core.judge import AnyJudge

EMOJI_WORLD, NUDENET, OPEN_NSFW, FACES = "Emoji World", "NudeNet", "Open-NSFW", "Faces"


@dataclass(frozen=True)
class BuiltIn:
    """Where to find a judge that needs no files of the user. Its module is imported on first use."""

    module: str  # in this package
    maker: str  # called without arguments

    def load(self) -> AnyJudge:
        """Return the judge. Raises RespoError when its package is missing or broken."""
        made: AnyJudge = getattr(import_module(f".{self.module}", __name__), self.maker)()
        return made


# One record for each judge. The node Load Judge and `evaluate --judge` list the names in this order.
BUILT_IN = {
    EMOJI_WORLD: BuiltIn("emoji_world", "emoji_world_judge"),
    NUDENET: BuiltIn("nudenet", "NudeNetJudge"),
    OPEN_NSFW: BuiltIn("open_nsfw", "OpenNsfwJudge"),
    FACES: BuiltIn("faces", "FacesJudge"),
}
__all__ = ["BUILT_IN", "EMOJI_WORLD", "FACES", "NUDENET", "OPEN_NSFW", "BuiltIn", "find_judge", "load_judge"]


def load_judge(
    spec: str, folder: Path | None = None, prompts: str = "", device: str | torch.device = "cpu"
) -> AnyJudge:
    """Return one of BUILT_IN, or the CLIP model in `folder / spec`, in the format of `transformers`.

    `prompts`: what CLIP is to look for, instead of its own questions (see clip_prompts.parse_prompts). `device`: where
    CLIP runs. Raises RespoError: an unknown judge, broken files, or a missing package.
    """
    if spec in BUILT_IN:
        if prompts.strip():
            raise RespoError(f"only a CLIP judge takes prompts; clear the prompts for {spec!r}.")
        return BUILT_IN[spec].load()
    if folder is None or not (folder / spec / "config.json").is_file():
        raise RespoError(
            f"expected a judge: {', '.join(BUILT_IN)}, or a folder with a CLIP model (config.json, model.safetensors, "
            f"preprocessor_config.json and the tokenizer's files), found {spec[:100]!r}."
        )
    from .clip import ClipJudge

    return ClipJudge(folder / spec, prompts, device)


def find_judge(wanted: str, prompts: str = "") -> AnyJudge:
    """Return the judge that a command line names: one of BUILT_IN in any spelling, or a CLIP model's folder.

    Raises RespoError as `load_judge` does.
    """
    built_in = {name.lower(): name for name in BUILT_IN}
    if wanted.lower() in built_in:
        return load_judge(built_in[wanted.lower()], prompts=prompts)
    folder = Path(wanted).absolute()
    return load_judge(folder.name, folder.parent, prompts, "cuda" if torch.cuda.is_available() else "cpu")
