"""The page of an audit. One of the files of the nodes that go beyond the core, and only when a page is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import folder_paths

from ...respo_train.core.counting.target import Target
from ...respo_train.core.files.write import make_folder
from ...respo_train.core.judge import AnyJudge

FOLDER = "respo_audits"


def write_page(judge: AnyJudge, labels: Mapping[str, Sequence[str]], targets: Mapping[str, Target]) -> str:
    """Write a page about what each picture shows into ComfyUI's output folder, and return a line that says where.

    `labels`: attribute -> a label for each picture. Raises RespoError when it cannot be written.
    """
    try:
        from ...respo_train.evaluation.audit import Look, audited
        from ...respo_train.evaluation.audit_page import write_audit_page

        look = Look({name: {"": list(own)} for name, own in labels.items()}, [], [], len(next(iter(labels.values()))))
        done = audited(judge, look, targets, 0, {})
        folder = Path(folder_paths.get_output_directory()) / FOLDER
        make_folder(folder)
        path = next(path for n in count(1) if not (path := folder / f"audit_{n:05}.html").exists())
        write_audit_page(path, done)
    except ImportError as error:
        return (
            f"The page needs the Python packages jinja2 and matplotlib ({error}): install them into ComfyUI's Python."
        )
    return f"The page is {FOLDER}/{path.name} in ComfyUI's output folder."
