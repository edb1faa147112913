"""Compose and Interpolate: make one concept from two."""

from __future__ import annotations

from typing import Literal, get_args

from comfy_api.latest import io, ui

from ..respo_train.core.errors import RespoError
from ..respo_train.core.module.attribute import Attribute, check_name
from ..respo_train.core.module.compose import Term, interpolation, notes_on, weighted_sum, without
from .shared import widgets
from .shared.wire import LoadedModule, RespoModule

Method = Literal["sum", "a without b"]
METHODS: tuple[Method, ...] = get_args(Method)


class Compose(io.ComfyNode):
    """Two concepts -> a module with one concept, by a weighted sum or by removing one from the other."""

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
                _concept("concept_a", "first"),
                _weight("weight_a", "How much of the first concept. Below 0 reverses it."),
                _concept("concept_b", "second"),
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
                _name(),
                RespoModule.Input(
                    "module_b",
                    optional=True,
                    tooltip="The module with the second concept; it may be the same one. Without it the first concept "
                    "is only multiplied by its weight.",
                ),
            ],
            outputs=[_module()],
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
                _concept("concept_a", "first"),
                RespoModule.Input("module_b", tooltip="The module with the second concept; it may be the same one."),
                _concept("concept_b", "second"),
                widgets.number("t", 0.5, "Where between the two: 0 is the first concept, 1 the second, 0.5 halfway."),
                _name(),
            ],
            outputs=[_module()],
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


def term_of(module: LoadedModule, concept: str, weight: float = 1.0) -> Term:
    """Take a concept from a module; the first one when `concept` is empty. Raises UnknownConcept."""
    found = concept.strip() or next(iter(module.attribute.concepts))
    return Term(module.attribute, found, weight, module.file, module.sha256)


def composed(made: Attribute, how: str, terms: list[Term]) -> io.NodeOutput:
    """Return the new module as a node output, with a text on how it was made."""
    loaded = LoadedModule.without_file(made, f"{made.name} (made in the workflow)")
    lines = (f"= {how}", *notes_on(terms), loaded.describe())
    return io.NodeOutput(loaded, ui=ui.PreviewText("\n".join(lines)))


def check_new_name(name: str) -> None:
    """Raise RespoError unless a name is acceptable, or empty."""
    if name.strip():
        check_name("concept", name.strip())


def _concept(id_: str, which: str) -> io.String.Input:
    return widgets.text(id_, f"The {which} concept's name, e.g. woman. Leave it empty for the first one in its module.")


def _weight(id_: str, tooltip: str) -> io.Float.Input:
    return widgets.number(id_, 1.0, tooltip, (-5.0, 5.0, 0.05))


def _name() -> io.String.Input:
    return widgets.text(
        "name", "What to call the new concept. Leave it empty for a name made of the two, such as 'woman - old'."
    )


def _module() -> io.Output:
    return RespoModule.Output(display_name="module", tooltip="For Apply Module, Balance or Save Module.")
