"""Fairness Report: how evenly the concepts of an attribute appear in a batch, or in a whole queue of batches."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..respo_train.core.counting.fairness import Pair, asked_for, attribute_of, concepts_of, report, sentence, to_json
from ..respo_train.core.counting.labels import parse_labels
from ..respo_train.core.counting.running_total import picture_key
from ..respo_train.core.counting.workflow_key import named_files, prompt_texts, workflow_key
from ..respo_train.core.judge import AnyJudge, Verdict, look
from .pictures.charts import fairness_chart, shown_with
from .shared import widgets
from .shared.folders import SUFFIX, versions_of
from .shared.totals import count
from .shared.wire import RespoJudge

TOTALS = ("off", "on", "start anew")
_OWN = frozenset(("running_total", "labels"))  # inputs that do not change which pictures are counted together


class FairnessReport(io.ComfyNode):
    """Pictures, a judge and what was asked for -> deviation ratio, counts and agreement as chart, JSON and sentence."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoFairnessReport",
            display_name="Fairness Report",
            advanced=("attribute", "concepts", "running_total"),
            description="Counts what pictures show, e.g. women and men, and reports how even the counts are, how "
            "certain that is, and what chance alone would give.",
            inputs=[
                io.Image.Input("images", tooltip="The pictures to judge. They are passed on untouched."),
                RespoJudge.Input("judge", tooltip="From Load Judge."),
                widgets.text(
                    "attribute",
                    "What to look at, e.g. gender; Load Judge shows what the judge knows. Leave it empty for "
                    "the attribute that the labels are about, or else the judge's first.",
                ),
                widgets.text(
                    "concepts",
                    "What to count, e.g. 'woman, man'. Empty counts everything that the judge can tell apart.",
                ),
                widgets.choice(
                    "running_total",
                    TOTALS,
                    "on: count all pictures of this workflow and prompt together, over many runs and restarts "
                    "of ComfyUI; no picture counts twice. start anew: forget the earlier counts, at every run. off: "
                    "these pictures alone.",
                ),
                widgets.text(
                    "labels",
                    "What each picture was asked to show, one per line: link this from Balance, with its "
                    "count set to the batch size. May be empty.",
                    multiline=True,
                    optional=True,
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The pictures, untouched."),
                io.Image.Output(
                    display_name="chart",
                    tooltip="The counts seen and asked for, the deviation ratio, and the range "
                    "that chance alone would give.",
                ),
                io.String.Output(display_name="json", tooltip="All figures, and what each picture shows, as JSON."),
                io.String.Output(display_name="text", tooltip="What the figures mean, in words."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, images: Tensor, judge: AnyJudge, attribute: str, concepts: str, running_total: str, labels: str = ""
    ) -> io.NodeOutput:
        """Return the pictures, the chart, the report as JSON and as text.

        `images`: `[B, H, W, C]` in 0 … 1. Raises RespoError: no pictures, labels that do not match them, or attributes
        that the judge does not know.
        """
        names = parse_labels(labels, len(images))
        looked_at = attribute.strip() or attribute_of(judge.classes, names)
        verdict = look(judge, images, looked_at)
        counted = concepts_of(judge.classes[looked_at], concepts)
        pairs = [(asked_for(name, counted), seen) for name, seen in zip(names, verdict.labels, strict=True)]
        notes = []
        if any(names) and not any(wish for wish, _ in pairs):
            notes.append(f"No label names anything that {judge.name} counts as {looked_at}: the labels are left out.")
        known: Sequence[Pair] | Mapping[Pair, int] = pairs
        if running_total != TOTALS[0]:
            known, note = _together(cls.hidden, images, pairs, (looked_at, *counted), running_total == TOTALS[2])
            notes.append(note)
        found = report(looked_at, counted, known)
        chart, without = fairness_chart(found, judge.name)
        text = "\n".join(filter(None, [sentence(found), *notes, without]))
        told = {"judge": judge.name, **to_json(found), "notes": notes, "pictures_now": _one_by_one(pairs, verdict)}
        return io.NodeOutput(images, chart, json.dumps(told, indent=1), text, ui=shown_with(chart, text, cls))


def _together(
    hidden: Any, images: Tensor, pairs: list[Pair], what: tuple[str, ...], anew: bool
) -> tuple[Mapping[Pair, int], str]:
    """Add the pictures to the running total of this workflow, prompt and node; return its counts, and a note."""
    prompt = getattr(hidden, "prompt", None)
    node = str(getattr(hidden, "unique_id", None))
    about = {"node": node, "attribute": what[0], "concepts": list(what[1:]), "texts": prompt_texts(prompt, node, _OWN)}
    # A module that was trained anew under its old name draws other pictures: they are not added to those from before.
    key = workflow_key(prompt, node, _OWN, *what, *versions_of(named_files(prompt, node, SUFFIX)))
    return count(key, [picture_key(image) for image in images], pairs, about, anew)


def _one_by_one(pairs: Sequence[Pair], verdict: Verdict) -> list[dict[str, Any]]:
    return [
        {"asked": wish, "seen": seen, "confidence": round(sure, 4) if math.isfinite(sure) else None}
        for (wish, seen), sure in zip(pairs, verdict.confidence, strict=True)
    ]
