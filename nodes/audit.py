"""Audit: who is in a batch, in everything that the judge knows, and whether that meets a target."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import comfy.model_management as management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io
from torch import Tensor

from ..respo_train.core.counting.audit import audit, audit_json, sentence, targets_of
from ..respo_train.core.counting.fairness import sentence as figures_of
from ..respo_train.core.counting.target import Target, plan
from ..respo_train.core.files.write import make_folder
from ..respo_train.core.judge import AnyJudge, look_at_all
from .pictures.charts import fairness_chart, shown_with
from .shared import widgets
from .shared.wire import RespoJudge

FOLDER = "respo_audits"


class Audit(io.ComfyNode):
    """Pictures, a judge and a target -> shares of every attribute, and pass or fail, as chart, JSON, text and page."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoAudit",
            display_name="Audit",
            advanced=("tolerance",),
            description="Counts who is in any pictures, e.g. by perceived gender, age group and skin tone, and tests "
            "whether that meets a target. It says how many pictures the test needs.",
            inputs=[
                io.Image.Input("images", tooltip="The pictures, of any model. They are passed on untouched."),
                RespoJudge.Input("judge", tooltip="From Load Judge: Faces for photos."),
                widgets.text(
                    "target",
                    "The wanted shares, one attribute a line, e.g. 'light 1, medium 1, dark 1'. What has no "
                    "target is counted and not tested.",
                    default="woman 1, man 1",
                    multiline=True,
                ),
                widgets.number(
                    "tolerance",
                    0.1,
                    "How far each share may be away from its target: 0.1 accepts 40 to 60 % for a half. With "
                    "half of it the test needs four times as many pictures.",
                    within=(0.01, 0.45, 0.01),
                ),
                io.Boolean.Input(
                    "page",
                    default=False,
                    tooltip="Also write an HTML page with all figures, and what the judge is wrong about, into the "
                    "folder respo_audits of ComfyUI's output. It holds no pictures.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The pictures, untouched."),
                io.Image.Output(display_name="chart", tooltip="The shares of each attribute, one below the other."),
                io.String.Output(display_name="json", tooltip="All figures and results as JSON."),
                io.String.Output(display_name="text", tooltip="The results in words, and how many pictures it takes."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: Tensor, judge: AnyJudge, target: str, tolerance: float, page: bool) -> io.NodeOutput:
        """Return the pictures, the charts, the audit as JSON and as text.

        `images`: `[B, H, W, C]` in 0 … 1. Raises RespoError: no pictures, or a target that does not fit the judge.
        """
        targets = targets_of([line for line in target.splitlines() if line.strip()], judge.classes, tolerance)
        bar = comfy.utils.ProgressBar(len(images))

        def looked(number: int) -> None:
            bar.update(number)
            management.throw_exception_if_processing_interrupted()

        verdicts = look_at_all(judge, images, looked)
        found = {
            name: audit(name, classes, {"": verdicts[name].labels}, targets.get(name))
            for name, classes in judge.classes.items()
        }
        charts = [fairness_chart(own.whole.found, judge.name) for own in found.values()]
        drawn = [chart for chart, _ in charts if isinstance(chart, Tensor)]
        chart = torch.cat(drawn, 1) if drawn else charts[0][0]
        said = [
            f"{name}: {sentence(own)} {figures_of(own.whole.found)}".replace(":  ", ": ") for name, own in found.items()
        ]
        said += [plan(name, own) for name, own in targets.items()]
        limits = list(getattr(judge, "limits", ()))
        if page:
            said.append(write_page(judge, {name: verdict.labels for name, verdict in verdicts.items()}, targets))
        text = "\n".join(filter(None, [*said, charts[0][1]]))
        told = {"judge": judge.name, "pictures": len(images), "limits": limits}
        told["attributes"] = {name: audit_json(own) for name, own in found.items()}
        return io.NodeOutput(images, chart, json.dumps(told, indent=1), text, ui=shown_with(chart, text, cls))


def write_page(judge: AnyJudge, labels: Mapping[str, Sequence[str]], targets: Mapping[str, Target]) -> str:
    """Write a page about what each picture shows into ComfyUI's output folder, and return a line that says where.

    `labels`: attribute -> a label for each picture. Raises RespoError when it cannot be written.
    """
    try:
        from ..respo_train.evaluation.audit import Look, audited
        from ..respo_train.evaluation.audit_page import write_audit_page

        look = Look({name: {"": list(own)} for name, own in labels.items()}, [], [], len(next(iter(labels.values()))))
        done = audited(judge, look, targets, 0, {})
        folder = Path(folder_paths.get_output_directory()) / FOLDER
        make_folder(folder)
        path = numbered(folder, lambda path: write_audit_page(path, done, new=True))
    except ImportError as error:
        return (
            f"The page needs the Python packages jinja2 and matplotlib ({error}): install them into ComfyUI's Python."
        )
    return f"The page is {FOLDER}/{path.name} in ComfyUI's output folder."


def numbered(folder: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` make "audit_00012.html" with the first number that is free; return its path.

    `write` raises FileExistsError for a name that another process takes meanwhile: then the next one is tried.
    """
    number = 0
    while True:
        number += 1
        path = folder / f"audit_{number:05}.html"
        if not os.path.lexists(path):
            with contextlib.suppress(FileExistsError):
                write(path)
                return path
