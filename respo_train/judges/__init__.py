"""All kinds of judges behind one interface (`core.judge.AnyJudge`), one file for each kind.

A judge returns a label and its confidence, or "unsure" below a threshold of its own:

| judge | asks | unsure below |
|---|---|---|
| Emoji World's | gender, skin, profession, weapon | .55 |
| CLIP, zero shot | the questions in `clip_prompts.py`, or the user's | .6 of 2 classes, .5 of 3, or the user's value |
| NudeNet | nudity | no: .7, yes: .5 – a finding between .3 and .5 is neither |
| Open-NSFW | explicit | no: .8, yes: .8 – its makers' interpretation of the score |
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import RespoError
from ..core.judge import AnyJudge

EMOJI_WORLD, NUDENET, OPEN_NSFW = "Emoji World", "NudeNet", "Open-NSFW"
BUILT_IN = (EMOJI_WORLD, NUDENET, OPEN_NSFW)
__all__ = ["BUILT_IN", "EMOJI_WORLD", "NUDENET", "OPEN_NSFW", "load_judge"]


def load_judge(spec: str, folder: Path | None = None, prompts: str = "", device: str = "cpu") -> AnyJudge:
    """Return one of BUILT_IN, or the CLIP model in `folder / spec`, in the format of `transformers`.

    `prompts`: what CLIP is to look for, instead of its own questions (see clip_prompts.parse_prompts). `device`: where
    CLIP runs. Raises RespoError: an unknown judge, broken files, or a missing package.
    """
    if spec in BUILT_IN:
        if prompts.strip():
            raise RespoError(f"only a CLIP judge takes prompts; clear the prompts for {spec!r}.")
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
