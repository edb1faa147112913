"""Where: limit a model's modules to a part of the picture, and keep the rest as in a recorded run."""

from __future__ import annotations

import re
from typing import Any

from comfy_api.latest import io, ui

from ..respo_train.core.errors import RespoError
from ..respo_train.core.files.text import limited
from ..respo_train.core.pictures.attention import word_tokens
from ..respo_train.core.pictures.region import places_of
from .recording.record import Record
from .shared import widgets
from .shared.guard import architecture_of
from .steering.edits import Area
from .steering.patching import with_limits, with_rest_alongside, with_rest_of
from .steering.regions import Limit, Words

_LONGEST, _LONGEST_PROMPT = 500, 20_000  # characters: every phrase is looked for at every place


class Where(io.ComfyNode):
    """MODEL -> MODEL whose modules act only on the subject."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoWhere",
            display_name="Where",
            advanced=("threshold", "enabled", "compare_every"),
            description="Limits every Respo module on this model to the subject: to a mask, to words of the prompt, "
            "or to what really changes compared with the picture without them. The rest stays as it was.",
            inputs=[
                io.Model.Input(
                    "model", tooltip="A model with Apply Module, Balance or Safety, placed before or after this node."
                ),
                widgets.text(
                    "words",
                    "Words of the prompt that name the subject, e.g. doctor; separate several with commas. "
                    "Needs clip and prompt. Leave it empty to use only the mask or the record.",
                ),
                widgets.number(
                    "threshold",
                    0.33,
                    "With a record or compare every: how large a change must be to take effect, as a fraction of the "
                    "picture's largest change. Higher keeps more of the old picture, lower lets the module do more.",
                ),
                widgets.enabled(),
                io.Mask.Input("mask", optional=True, tooltip="White is where modules may act."),
                io.Clip.Input("clip", optional=True, tooltip="The CLIP that encodes your prompt. Needed for words."),
                io.String.Input(
                    "prompt",
                    optional=True,
                    force_input=True,
                    tooltip="The exact text of your positive prompt. Needed for words.",
                ),
                widgets.record(
                    "From Record Run: a run without modules. What a module hardly changes stays as it was in that run. "
                    "This needs no further model calls."
                ),
                io.Int.Input(
                    "compare_every",
                    optional=True,  # workflows from before it have none
                    default=0,
                    min=0,
                    max=100,
                    tooltip="Instead of a record: how often a step is also predicted without modules, so that what "
                    "they hardly change stays. 7: every seventh step, which takes 1.15 times as long at 20 steps; 1: "
                    "every step, twice as long; 0: off. A threshold of 0.6 suits it.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The model, for a KSampler.")],
        )

    @classmethod
    def check_lazy_status(cls, enabled: bool, **linked: Any) -> list[str]:
        return widgets.inputs_to_make(enabled, linked)

    @classmethod
    def execute(
        cls,
        model: Any,
        words: str,
        threshold: float,
        enabled: bool,
        mask: Any = None,
        clip: Any = None,
        prompt: str = "",
        record: Record | None = None,
        compare_every: int = 0,
    ) -> io.NodeOutput:
        """Return the model whose modules act on the subject alone; the very same one when the node is off.

        Raises RespoError: nothing to find the subject by, two ways to keep the rest, or words missing from the prompt.
        """
        if not enabled:
            return widgets.off(model)
        architecture_of(model)
        limits: list[Limit] = [] if mask is None else [Area.of(mask)]
        limits += [places(clip, prompt, words)] if words.strip() else []
        if not limits and record is None and not compare_every:
            raise RespoError(
                "expected something that shows where the subject is: link a mask, or a record, or write words of the "
                "prompt and link clip and prompt, or set compare_every above 0."
            )
        if record is not None and compare_every:
            raise RespoError(
                "expected a record or compare_every, found both. Unlink the record, or set compare_every to 0."
            )
        patched = with_limits(model, limits) if limits else model
        if record is not None:
            patched = with_rest_of(patched, record, threshold)
        if compare_every:
            patched = with_rest_alongside(patched, compare_every, threshold)
        compared = record is not None or compare_every > 0
        return io.NodeOutput(patched, ui=ui.PreviewText(describe(mask is not None, words, compared)))


def places(clip: Any, prompt: str, words: str) -> Words:
    """Find the chosen words in the encoded prompt. Raises RespoError when they, clip or prompt are missing."""
    if clip is None or not prompt.strip():
        raise RespoError("expected clip and prompt to be linked: they are needed to find the words in the prompt.")
    limited(words, "the words", _LONGEST), limited(prompt, "the prompt", _LONGEST_PROMPT)
    phrases = [phrase.strip() for phrase in re.split(r"[,;\n]", words) if phrase.strip()]
    chosen, others = places_of(words, word_tokens(clip, prompt), [word_tokens(clip, phrase) for phrase in phrases])
    return Words(tuple(chosen), tuple(others))


def describe(masked: bool, words: str, compared: bool) -> str:
    """Say how the node finds the subject: "Modules act only: in the mask, where the picture attends to 'doctor'"."""
    limits = ["in the mask"] * masked
    limits += [f"where the picture attends to {words.strip()[:60]!r}"] * bool(words.strip())
    limits += ["where the picture really changes"] * compared
    return f"Modules act only: {', '.join(limits)}"
