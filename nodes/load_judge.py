"""Load Judge: load a classifier that says what a picture shows."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..respo_train.core.judge import AnyJudge
from .shared import widgets
from .shared.judges import check_prompts, judge_names, load, require_known, state
from .shared.wire import RespoJudge


class LoadJudge(io.ComfyNode):
    """A judge's name -> RESPO_JUDGE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoLoadJudge",
            display_name="Load Judge",
            description="Loads a judge: a classifier that looks at a picture and says what it shows, or that it is "
            "unsure. For Fairness Report and Safety Report.",
            inputs=[
                widgets.choice(
                    "judge",
                    judge_names(),
                    "Emoji World is for the example model alone. NudeNet and Open-NSFW find unsafe pictures, "
                    "Faces says what faces look like; each needs a Python package. A folder with a CLIP model in "
                    "models/respo_judges judges photos.",
                ),
                widgets.text(
                    "prompts",
                    "For CLIP only: what to look for. Empty asks for gender, race, age and skin tone; the help "
                    "page has a text to copy for anything else.",
                    multiline=True,
                    optional=True,
                ),
            ],
            outputs=[RespoJudge.Output(display_name="judge", tooltip="For Fairness Report or Safety Report.")],
        )

    @classmethod
    def validate_inputs(cls, judge: str | None = None, prompts: str | None = "") -> bool | str:
        return widgets.valid((require_known, judge), (check_prompts, prompts))

    @classmethod
    def fingerprint_inputs(cls, judge: str | None = None, prompts: str | None = "") -> str:
        return state(judge)

    @classmethod
    def execute(cls, judge: str, prompts: str = "") -> io.NodeOutput:
        """Return the judge.

        Raises RespoError: an unknown judge, broken files, a missing package, or unreadable prompts.
        """
        loaded = load(judge, prompts)
        return io.NodeOutput(loaded, ui=ui.PreviewText(describe(loaded)))


def describe(judge: AnyJudge) -> str:
    """Return one line for the judge's name and one for each attribute that it knows."""
    return "\n".join([judge.name, *(f"{name}: {', '.join(own)}" for name, own in judge.classes.items())])
