"""Module To Text and Module From Text: store a module inside the workflow."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..respo_train.core.files.shrink import FORMS, Form, kept, shrunk
from ..respo_train.core.files.text_form import from_text, to_text
from .shared import widgets
from .shared.wire import LoadedModule, RespoModule, size_of


class ModuleToText(io.ComfyNode):
    """RESPO_MODULE -> text."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoModuleToText",
            display_name="Module To Text",
            description="Turns a module into text that can be saved inside a workflow, so that nobody has to look for "
            "a file. Module From Text reads it.",
            is_output_node=True,
            inputs=[
                RespoModule.Input("module", tooltip="The module to pack."),
                widgets.choice(
                    "form",
                    FORMS,
                    "How to make it small. low rank: keep only the strongest patterns. channel: one number "
                    "per channel, the same all over the picture; the smallest. as it is: keep everything, if it fits.",
                ),
                io.Int.Input(
                    "rank",
                    default=4,
                    min=1,
                    max=64,
                    tooltip="How many patterns low rank keeps. A higher rank keeps more of the module and makes the "
                    "text longer. The node shows how much is kept.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="text", tooltip="For Module From Text; or preview it and copy it."),
            ],
        )

    @classmethod
    def execute(cls, module: LoadedModule, form: Form, rank: int) -> io.NodeOutput:
        """Return the module as text. Raises RespoError when it would be too long."""
        text = to_text(shrunk(module.attribute, form, rank))
        read = from_text(text)
        shares = ", ".join(
            f"{name} {kept(own, read.concept(name)):.1%}" for name, own in module.attribute.concepts.items()
        )
        lines = f"{len(text) / 1000:.1f} kB of text ({size_of(read)})\nKept of each concept: {shares}"
        return io.NodeOutput(text, ui={"text": (lines,), "respo_module": (text,)})


class ModuleFromText(io.ComfyNode):
    """Text -> RESPO_MODULE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoModuleFromText",
            display_name="Module From Text",
            description="Reads a module that is saved inside the workflow as text. It holds numbers and names only, "
            "nothing that could run.",
            inputs=[
                widgets.text(
                    "text",
                    "The text that Module To Text makes; it begins with respo1. It is saved together with the "
                    "workflow.",
                    multiline=True,
                ),
            ],
            outputs=[RespoModule.Output(display_name="module", tooltip="For Apply Module or Balance.")],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return widgets.valid((from_text, text))

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        """Return the module in the text. Raises ModuleFileError when there is no valid one."""
        attribute = from_text(text)
        loaded = LoadedModule.without_file(attribute, f"{attribute.name} (in the workflow)")
        return io.NodeOutput(loaded, ui=ui.PreviewText(loaded.describe()))
