"""Which judges there are, and loading one: the one file of the nodes that imports `respo_train.judges`, when asked."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ...respo_train.core.errors import RespoError
from ...respo_train.core.judge import AnyJudge

FOLDER = "respo_judges"
_MARK = "config.json"


def register() -> None:
    """Add the model folder `respo_judges`: a folder below it is a CLIP model. Idempotent."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))


def judge_names() -> list[str]:
    """Return the judges that ship or come with a package, and the CLIP models in the model folder."""
    from ...respo_train.judges import BUILT_IN

    return [*BUILT_IN, *sorted(_models())]


def load(name: str, prompts: str) -> AnyJudge:
    """Raises RespoError: unknown, broken, a package that is missing, prompts that cannot be read."""
    from ...respo_train.judges import load_judge

    require_known(name)
    folder = _models().get(name)
    return load_judge(name, None if folder is None else folder.parent, prompts)


def check_prompts(prompts: str) -> None:
    """Raises RespoError."""
    from ...respo_train.judges.clip_prompts import parse_prompts

    parse_prompts(prompts)


def require_known(name: str) -> None:
    """Raise RespoError unless `name` is in the list: only folders that were found there are ever opened."""
    if name not in judge_names():
        raise RespoError(
            f"the judge {name[:80]!r} is not on this computer. Put the folder of a CLIP model (config.json, "
            f"model.safetensors, the tokenizer's files) into {Path(folder_paths.models_dir) / FOLDER} and press R in "
            f"ComfyUI; or choose one that is there: {', '.join(judge_names()[:10])}."
        )


def state(name: str) -> str:
    """Return what changes when the judge's files do."""
    folder = _models().get(name)
    if folder is None:
        return name
    return repr([(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())])


def _models() -> dict[str, Path]:
    """Return the folders of CLIP models by name; of two with one name the first, as the host does with files."""
    found: dict[str, Path] = {}
    for root in map(Path, folder_paths.get_folder_paths(FOLDER)):
        for mark in sorted(root.glob(f"*/{_MARK}")):
            found.setdefault(mark.parent.name, mark.parent)
    return found
