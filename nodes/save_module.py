"""Save Module: save a module that was made in the graph to the model folder."""

from __future__ import annotations

from comfy_api.latest import io, ui

from .shared import widgets
from .shared.folders import place_for
from .shared.saving import Existing, existing_input, save
from .shared.wire import LoadedModule, RespoModule


class SaveModule(io.ComfyNode):
    """RESPO_MODULE -> a file, and the module under its new name."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoSaveModule",
            display_name="Save Module",
            advanced=("existing",),
            description="Saves a module in models/respo, together with a record of what it was made from.",
            is_output_node=True,
            inputs=[
                RespoModule.Input("module", tooltip="What to save, e.g. from Compose Modules."),
                widgets.module_name(),
                existing_input(),
            ],
            outputs=[RespoModule.Output(display_name="module", tooltip="The same module, under its file's name.")],
        )

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        return widgets.valid((place_for, name))

    @classmethod
    def execute(cls, module: LoadedModule, name: str, existing: Existing) -> io.NodeOutput:
        """Write the module's file and return the module as read from it.

        Raises RespoError: a name outside the folder, a different file of that name, or an unwritable file.
        """
        saved, line = save(module.attribute, name, existing)
        return io.NodeOutput(saved, ui=ui.PreviewText(f"{line}\n{saved.describe()}"))
