"""An audit of a folder: every picture is looked at once, nothing of it is kept but what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .. import __version__
from ..core.counting.audit import Audited, audit, audit_json
from ..core.counting.target import LEVEL, POWER, Target
from ..core.errors import RespoError
from ..core.files.write import write_atomically
from ..core.judge import AnyJudge, look_at_all
from .folder import Found, name_of, read_picture

GENERAL = "It says what pictures look like to one judge, and never who somebody is. Look at some of them yourself."
_SHOWN = 256  # pixels of a picture that is to be shown on the page


@dataclass
class Look:
    """What was seen. `labels`: attribute -> group -> a label for each picture; `shown`: (group, labels, pixels)."""

    labels: dict[str, dict[str, list[str]]]
    skipped: list[tuple[str, str]]
    shown: list[tuple[str, Mapping[str, str], NDArray[np.uint8]]]
    count: int = 0


@dataclass(frozen=True)
class FolderAudit:
    """All that the page and the JSON say."""

    judge: AnyJudge
    attributes: Mapping[str, Audited]
    look: Look
    others: int
    settings: Mapping[str, Any]

    @property
    def limits(self) -> tuple[str, ...]:
        """What the judge is wrong about, and of whom."""
        return (*getattr(self.judge, "limits", ()), GENERAL)


def look_at(judge: AnyJudge, found: Found, show: int = 0, looked: Callable[[], object] = lambda: None) -> Look:
    """Judge all pictures. `show`: keep small copies of that many of each label, for the page; `looked`: after each.

    A file that cannot be read is skipped, with the reason. Raises RespoError when none can be read.
    """
    look = Look({name: {} for name in judge.classes}, list(found.skipped), [])
    kept: dict[tuple[str, str], int] = {}
    for group, path in found.pictures:
        try:
            pixels = read_picture(path)
        except RespoError as error:
            look.skipped.append((name_of(path, found.root), str(error)))
            looked()
            continue
        verdicts = look_at_all(judge, torch.from_numpy(pixels).float()[None] / 255)
        seen = {name: verdict.labels[0] for name, verdict in verdicts.items()}
        look.count += 1
        for name, label in seen.items():
            look.labels[name].setdefault(group, []).append(label)
        if any(kept.get(item, 0) < show for item in seen.items()):
            look.shown.append((group, seen, _small(pixels)))
            kept.update({item: kept.get(item, 0) + 1 for item in seen.items()})
        looked()
    if not look.count:
        raise RespoError(f"expected pictures that can be read, found none among {len(found.pictures)} files.")
    return look


def audited(
    judge: AnyJudge, look: Look, targets: Mapping[str, Target], others: int, settings: Mapping[str, Any]
) -> FolderAudit:
    """Count what was seen. Raises RespoError for a target that does not fit the judge."""
    found = {
        name: audit(name, classes, look.labels[name], targets.get(name)) for name, classes in judge.classes.items()
    }
    return FolderAudit(judge, found, look, others, settings)


def write_json(path: Path, done: FolderAudit) -> None:
    """Write all figures. Raises RespoError."""
    told = {
        "judge": done.judge.name,
        "pictures": done.look.count,
        "skipped": [{"file": name, "why": why} for name, why in done.look.skipped],
        "other_files": done.others,
        "test": {"level": LEVEL, "power": POWER},
        "attributes": {name: audit_json(own) for name, own in done.attributes.items()},
        "limits": list(done.limits),
        "settings": {**done.settings, "respo": __version__},
    }
    write_atomically(path, (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode())


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SHOWN, _SHOWN))
    return np.asarray(picture)
