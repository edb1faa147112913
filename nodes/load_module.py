"""Load Module: read one module file."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..respo_train.core.errors import ModuleFileError
from ..respo_train.core.files.checkpoint import load_hashed
from .shared import widgets
from .shared.folders import module_names, resolve, version_of
from .shared.wire import LoadedModule, RespoModule


class LoadModule(io.ComfyNode):
    """A file name -> RESPO_MODULE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoLoadModule",
            display_name="Load Module",
            advanced=("sha256",),
            description="Reads a Respo module: a small file that teaches a model one attribute, e.g. gender with the "
            "concepts woman and man.",
            inputs=[
                io.Combo.Input(
                    "module",
                    options=module_names(),
                    tooltip="A file of the models/respo folder. Press R after you put a new one there. The node shows "
                    "what is in it after a run.",
                ),
                widgets.text(
                    "sha256",
                    "Usually empty. If you share a workflow, you can enter the SHA-256 that Load Module shows "
                    "(the first digits are enough); a different file of the same name is then refused.",
                    optional=True,
                ),
            ],
            outputs=[RespoModule.Output(display_name="module", tooltip="For Apply Module or Balance.")],
        )

    @classmethod
    def validate_inputs(cls, module: str | None = None, sha256: str | None = "") -> bool | str:
        return widgets.valid((resolve, module, sha256 or ""))

    @classmethod
    def fingerprint_inputs(cls, module: str | None = None, sha256: str | None = "") -> str:
        return version_of(module)

    @classmethod
    def execute(cls, module: str, sha256: str = "") -> io.NodeOutput:
        """Return the module.

        Raises ModuleFileError: a missing or broken file, or one whose SHA-256 is not the expected one.
        """
        path = resolve(module, sha256)
        attribute, found = load_hashed(path)
        if not found.startswith(sha256.strip().lower()):
            raise ModuleFileError(
                f"expected {module!r} with the SHA-256 {sha256}, found {found}: a different file of the same name. Get "
                "the right file from where you got the workflow, or clear the field 'sha256' to use this one."
            )
        loaded = LoadedModule(attribute, module, found)
        return io.NodeOutput(loaded, ui=ui.PreviewText(loaded.describe()))
