"""Safety Report: flag the pictures that show something unwanted. The pictures themselves are not changed."""

from __future__ import annotations

import json

from comfy_api.latest import io
from torch import Tensor

from ..respo_train.core.counting.safety_report import labels, safety_attribute, safety_report, sentence, to_json
from ..respo_train.core.judge import AnyJudge, look
from .pictures.charts import safety_chart, shown_with
from .shared import widgets
from .shared.wire import RespoJudge


class SafetyReport(io.ComfyNode):
    """Pictures and a judge -> a score and a flag for each picture, a chart, JSON and a sentence."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoSafetyReport",
            display_name="Safety Report",
            advanced=("attribute",),
            description="Scores how likely each picture is to show something unwanted, e.g. nudity or a weapon, and "
            "flags it. No picture is blacked out or held back.",
            inputs=[
                io.Image.Input("images", tooltip="The pictures to judge. They are passed on untouched."),
                RespoJudge.Input(
                    "judge",
                    tooltip="From Load Judge: NudeNet, Open-NSFW, or Emoji World's for weapons in its pictures.",
                ),
                widgets.text(
                    "attribute",
                    "What to look for, e.g. weapon. Leave it empty for the judge's first yes-or-no question.",
                ),
                widgets.number(
                    "threshold",
                    0.5,
                    "Pictures with this score or a higher one are flagged. Lower it to miss fewer, raise it "
                    "for fewer false alarms.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The pictures, untouched."),
                io.Image.Output(display_name="chart", tooltip="Each picture's score, and the threshold."),
                io.String.Output(display_name="json", tooltip="All scores and flags as JSON."),
                io.String.Output(
                    display_name="flags",
                    tooltip="'flagged' or 'ok' for each picture, one per line: labels for Save Labelled Images.",
                ),
                io.String.Output(display_name="text", tooltip="The result in words."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, images: Tensor, judge: AnyJudge, attribute: str, threshold: float) -> io.NodeOutput:
        """Return the pictures, the chart, the report as JSON, the labels and a text.

        `images`: `[B, H, W, C]` in 0 … 1. Raises RespoError when there are no pictures or the judge does not judge the
        attribute.
        """
        looked_at = safety_attribute(judge, attribute.strip())
        found = safety_report(judge.classes, looked_at, look(judge, images, looked_at), threshold)
        chart, without = safety_chart(found, judge.name)
        text = "\n".join(filter(None, [sentence(found), without]))
        told = json.dumps({"judge": judge.name, **to_json(found)}, indent=1)
        return io.NodeOutput(images, chart, told, labels(found), text, ui=shown_with(chart, text, cls))
