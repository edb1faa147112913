"""Import Module: convert a file released by another project to a module."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath

from comfy_api.latest import io, ui

from ..respo_train.core.files.text import limited
from ..respo_train.core.foreign.families import BASES
from ..respo_train.core.foreign.names import fitting_name, parse_concepts
from ..respo_train.core.foreign.read import read_file
from .shared import widgets
from .shared.folders import FOREIGN, foreign_names, place_for, resolve, version_of
from .shared.saving import Existing, existing_input, save
from .shared.wire import RespoModule

AS_PUBLISHED = "as published"
_foreign = partial(resolve, suffixes=FOREIGN)


class ImportModule(io.ComfyNode):
    """A .pth or .pt file -> RESPO_MODULE, saved in the model folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoImportModule",
            display_name="Import Module",
            advanced=("only", "concepts", "base", "existing"),
            description="Makes a module of a file that RespoDiff, SDisc or Learning Where It Matters released, and "
            "saves it in models/respo. Nothing in the file is run.",
            is_output_node=True,
            inputs=[
                io.Combo.Input(
                    "file",
                    options=foreign_names(),
                    tooltip="A .pth or .pt file of the models/respo folder. Press R after you put a new one there.",
                ),
                widgets.text(
                    "only",
                    "The concepts to take, e.g. a woman, a man. Leave it empty for all that were trained; the "
                    "node shows which ones those are.",
                ),
                widgets.text(
                    "concepts",
                    "Paste the contents of the concept_dict.json next to the file here, if there is one. "
                    "Leave it empty to use the paper's list.",
                    multiline=True,
                ),
                widgets.choice(
                    "base",
                    [AS_PUBLISHED, *BASES],
                    "The kind of model that the file was trained on. as published: SD 1.x for RespoDiff and "
                    "SDisc, SDXL for Learning Where It Matters.",
                ),
                widgets.module_name(),
                existing_input(),
            ],
            outputs=[RespoModule.Output(display_name="module", tooltip="For Apply Module or Balance.")],
        )

    @classmethod
    def validate_inputs(cls, file: str | None = None, concepts: str | None = "", name: str | None = None) -> bool | str:
        return widgets.valid((_foreign, file), (pasted, concepts), (place_for, name))

    @classmethod
    def fingerprint_inputs(cls, file: str | None = None, **_: object) -> str:
        return version_of(file, FOREIGN)

    @classmethod
    def execute(cls, file: str, only: str, concepts: str, base: str, name: str, existing: Existing) -> io.NodeOutput:
        """Write the file as a Respo module and return it.

        Raises RespoError: a file of another kind, an untrained concept, or a name that is taken.
        """
        _, listed = place_for(name)
        found = read_file(
            _foreign(file),
            pasted(concepts),
            [part for part in map(str.strip, limited(only, "the concepts to take").split(",")) if part],
            None if base == AS_PUBLISHED else base,
            fitting_name(PurePosixPath(listed).stem),
        )
        saved, line = save(found.attribute, name, existing)
        lines = (line, saved.describe(), *(f"Note: {text}" for text in found.warnings))
        return io.NodeOutput(saved, ui=ui.PreviewText("\n".join(lines)))


def pasted(concepts: str) -> dict[str, int] | None:
    """Return the pasted list of concepts; None for none. Raises RespoError."""
    return parse_concepts(concepts) if concepts.strip() else None
