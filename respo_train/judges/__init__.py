"""Judges of every kind behind one interface (`core.judge.AnyJudge`); each kind in a file of its own.

A judge says a label, how sure it is, and "unsure" below a threshold that belongs to judge and class:

| judge | asks | unsure below |
|---|---|---|
| Emoji World's | gender, skin, profession, weapon | .55 |
| CLIP, zero shot | what `clip_prompts.py` or its user says | .6 of two classes, .5 of three, or as the user says |
| NudeNet | nudity | no: .7, yes: .5 – a finding between .3 and .5 is neither |
| Open-NSFW | explicit | no: .8, yes: .8 – its makers' own reading of the score |
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import RespoError
from ..core.judge import AnyJudge

EMOJI_WORLD, NUDENET, OPEN_NSFW = "Emoji World", "NudeNet", "Open-NSFW"
BUILT_IN = (EMOJI_WORLD, NUDENET, OPEN_NSFW)
__all__ = ["BUILT_IN", "EMOJI_WORLD", "NUDENET", "OPEN_NSFW", "load_judge"]


def load_judge(spec: str, folder: Path | None = None, prompts: str = "", device: str = "cpu") -> AnyJudge:
    """Return one of BUILT_IN, or the CLIP model in `folder / spec`, as `transformers` saves it.

    `prompts`: words for CLIP to look for, in place of its own (see clip_prompts.parse_prompts). `device`: where CLIP
    computes. Raises RespoError: unknown, broken, or a package that is missing.
    """
    if spec in BUILT_IN:
        if prompts.strip():
            raise RespoError(f"only a CLIP judge can be told what to look for; empty the prompts of {spec!r}.")
        return _built_in(spec)
    if folder is None or not (folder / spec / "config.json").is_file():
        raise RespoError(
            f"expected a judge: {', '.join(BUILT_IN)}, or a folder with a CLIP model (config.json, model.safetensors, "
            f"preprocessor_config.json and the tokenizer's files), found {spec[:100]!r}."
        )
    from .clip import ClipJudge

    return ClipJudge(folder / spec, prompts, device)


def _built_in(spec: str) -> AnyJudge:
    if spec == NUDENET:
        from .nudenet import NudeNetJudge

        return NudeNetJudge()
    if spec == OPEN_NSFW:
        from .open_nsfw import OpenNsfwJudge

        return OpenNsfwJudge()
    from .emoji_world import emoji_world_judge

    return emoji_world_judge()
