"""Interpolate: make a concept that lies between two others."""

from __future__ import annotations

from comfy_api.latest import io

from ..respo_train.core.module.compose import interpolation
from .shared import widgets
from .shared.composing import check_new_name, composed, concept_input, name_input, term_of
from .shared.wire import LoadedModule, RespoModule


class Interpolate(io.ComfyNode):
    """Two concepts and a position between them -> a module with one concept."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoInterpolate",
            display_name="Interpolate Modules",
            advanced=("name",),
            description="Makes a concept that lies between two others, e.g. halfway from 'woman' to 'man'.",
            inputs=[
                RespoModule.Input("module_a", tooltip="The module with the first concept."),
                concept_input("concept_a", "first"),
                RespoModule.Input("module_b", tooltip="The module with the second concept; it may be the same one."),
                concept_input("concept_b", "second"),
                widgets.number("t", 0.5, "Where between the two: 0 is the first concept, 1 the second, 0.5 halfway."),
                name_input(),
            ],
            outputs=[
                RespoModule.Output(display_name="module", tooltip="For Apply Module, Balance or Save Module."),
            ],
        )

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        return widgets.valid((check_new_name, name))

    @classmethod
    def execute(
        cls, module_a: LoadedModule, concept_a: str, module_b: LoadedModule, concept_b: str, t: float, name: str
    ) -> io.NodeOutput:
        """Return the module between the two. Raises RespoError as `interpolation` does."""
        a, b = term_of(module_a, concept_a), term_of(module_b, concept_b)
        made = interpolation(a, b, t, name.strip())
        return composed(made, f"{1 - t:g} {a.concept} + {t:g} {b.concept}", [a, b])
