"""Compose: make one concept from two, by a weighted sum or by removing one from the other."""

from __future__ import annotations

from typing import Literal, get_args

from comfy_api.latest import io

from ..respo_train.core.errors import RespoError
from ..respo_train.core.module.compose import weighted_sum, without
from .shared import widgets
from .shared.composing import check_new_name, composed, concept_input, name_input, term_of
from .shared.wire import LoadedModule, RespoModule

Method = Literal["sum", "a without b"]
METHODS: tuple[Method, ...] = get_args(Method)


class Compose(io.ComfyNode):
    """Two concepts -> a module with one concept."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoCompose",
            display_name="Compose Modules",
            advanced=("method", "name"),
            description="Makes one concept out of two, e.g. 'woman' plus half of 'dark', or 'woman' without what "
            "'old' has in common with it. Nothing is trained.",
            inputs=[
                RespoModule.Input("module_a", tooltip="The module with the first concept."),
                concept_input("concept_a", "first"),
                _weight("weight_a", "How much of the first concept. Below 0 reverses it."),
                concept_input("concept_b", "second"),
                _weight(
                    "weight_b",
                    "sum: how much of the second concept; below 0 subtracts it. a without b: how much of what both "
                    "have in common is removed, 0 to 1.",
                ),
                widgets.choice(
                    "method",
                    METHODS,
                    "sum: both added together, each multiplied by its weight. a without b: the first concept "
                    "minus what it has in common with the second.",
                ),
                name_input(),
                RespoModule.Input(
                    "module_b",
                    optional=True,
                    tooltip="The module with the second concept; it may be the same one. Without it the first concept "
                    "is only multiplied by its weight.",
                ),
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
        cls,
        module_a: LoadedModule,
        concept_a: str,
        weight_a: float,
        concept_b: str,
        weight_b: float,
        method: Method,
        name: str,
        module_b: LoadedModule | None = None,
    ) -> io.NodeOutput:
        """Return a module whose one concept is the result of `method`.

        Raises RespoError: a missing module, and all that `weighted_sum` and `without` raise.
        """
        terms = [term_of(module_a, concept_a, weight_a)]
        if module_b is not None:
            terms.append(term_of(module_b, concept_b, weight_b))
        if method == "sum":
            made = weighted_sum(terms, name.strip())
            how = " + ".join(f"{t.weight:g} {t.concept}" for t in terms)
        elif len(terms) < 2:
            raise RespoError("'a without b' needs both modules, but nothing is linked to module_b.")
        else:
            a, b = terms
            made = without(a, b, name.strip())
            how = f"{a.weight:g} {a.concept} without {b.weight:.0%} of what it shares with {b.concept}"
        return composed(made, how, terms)


def _weight(id_: str, tooltip: str) -> io.Float.Input:
    return widgets.number(id_, 1.0, tooltip, (-5.0, 5.0, 0.05))
