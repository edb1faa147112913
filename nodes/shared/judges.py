"""List and load judges. The only file of the nodes that imports `respo_train.judges`, and only when it is needed."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management as management
import folder_paths

from ...respo_train.core.errors import RespoError
from ...respo_train.core.judge import AnyJudge

FOLDER = "respo_judges"
_MARK = "config.json"


def register() -> None:
    """Add the model folder `respo_judges`; each folder in it is a CLIP model. Idempotent."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))


def judge_names() -> list[str]:
    """Return the built-in judges (some need a package) and the CLIP models in the model folder."""
    from ...respo_train.judges import BUILT_IN

    return [*BUILT_IN, *sorted(_models())]


def load(name: str, prompts: str) -> AnyJudge:
    """Load a judge. Raises RespoError: unknown, broken, a missing package, or prompts that cannot be parsed."""
    from ...respo_train.judges import load_judge

    require_known(name)
    folder = _models().get(name)
    # Where the host runs its own CLIP: on the GPU, unless that has little memory.
    device = management.text_encoder_device()
    return load_judge(name, None if folder is None else folder.parent, prompts, device)


def check_prompts(prompts: str) -> None:
    """Raise RespoError when the prompts cannot be parsed."""
    from ...respo_train.judges.clip_prompts import parse_prompts

    parse_prompts(prompts)


def require_known(name: str) -> None:
    """Raise RespoError unless `name` is in the list, so that only folders found there are ever opened."""
    if name not in judge_names():
        raise RespoError(
            f"the judge {name[:80]!r} is not on this computer. Put the folder of a CLIP model (config.json, "
            f"model.safetensors, the tokenizer's files) into {Path(folder_paths.models_dir) / FOLDER} and press R in "
            f"ComfyUI; or choose one that is there: {', '.join(judge_names()[:10])}."
        )


def state(name: str | None) -> str:
    """Return a text that changes whenever the judge's files do; where the name is not known yet, any judge's."""
    known = _models()
    folders = list(known.values()) if name is None else [known[name]] if name in known else []
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    return repr([name, *((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)])


def _models() -> dict[str, Path]:
    """Return the folders of CLIP models by name.

    If two have the same name, the first wins, as with the host's files; a built-in judge always does.
    """
    from ...respo_train.judges import BUILT_IN

    found: dict[str, Path] = {}
    for root in map(Path, folder_paths.get_folder_paths(FOLDER)):
        for mark in sorted(root.glob(f"*/{_MARK}")):
            found.setdefault(mark.parent.name, mark.parent)
    return {name: folder for name, folder in found.items() if name not in BUILT_IN}
