"""Gate: switch balancing off when the prompt has no person in it, or already says who the person is."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..respo_train.core.gate.is_open import is_open
from .shared import widgets
from .shared.wire import LoadedModule, RespoModule


class Gate(io.ComfyNode):
    """RESPO_MODULE and a prompt -> BOOLEAN to link to other nodes' `enabled`, and the reason."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoGate",
            display_name="Gate",
            description="Reads your prompt and switches Balance off where balancing makes no sense: the prompt has no "
            "person in it, or already says who the person is ('a woman doctor').",
            inputs=[
                RespoModule.Input("module", tooltip="From Load Module, the same one that Balance gets."),
                widgets.text(
                    "prompt",
                    "What the picture should show, in English. Link the same text to this node and to CLIP "
                    "Text Encode, so that both always read the same.",
                    multiline=True,
                ),
                widgets.text(
                    "words",
                    "Leave this empty to use the module's own words. A line 'woman: lady, she, black *' puts "
                    "these in place of the module's words for woman; 'person: superhero' adds words for people.",
                    multiline=True,
                ),
            ],
            outputs=[
                io.Boolean.Output(
                    display_name="enabled",
                    tooltip="Link it to 'enabled' of Balance or Apply Module. False means that there is nothing to "
                    "balance.",
                ),
                io.String.Output(display_name="reason", tooltip="Why, in one sentence. The node shows it, too."),
            ],
        )

    @classmethod
    def execute(cls, module: LoadedModule, prompt: str, words: str) -> io.NodeOutput:
        """Return whether the prompt leaves the attribute open, and why.

        Raises RespoError for a prompt that is too long and for lines of words that cannot be parsed.
        """
        decision = is_open(module.attribute, prompt, override=words)
        return io.NodeOutput(decision.open, decision.reason, ui=ui.PreviewText(decision.reason))
