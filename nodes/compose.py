"""Compose: one concept out of two, by a weighted sum or by taking one out of the other."""

from __future__ import annotations

from typing import Literal, get_args

from comfy_api.latest import io, ui

from ..respo_train.core.attribute import Attribute, check_name
from ..respo_train.core.compose import Term, note_on_bases, weighted_sum, without
from ..respo_train.core.errors import RespoError
from .wire import LoadedModule, RespoModule

Method = Literal["sum", "a without b"]
METHODS: tuple[Method, ...] = get_args(Method)


class Compose(io.ComfyNode):
    """Two concepts -> a module with one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Ids and their order are forever: saved workflows store widget values by position."""
        return io.Schema(
            node_id="RespoCompose",
            display_name="Compose Modules",
            category="Respo",
            description="Makes one concept out of two, e.g. 'woman' plus half of 'dark', or 'woman' without what "
            "'old' has in common with it. Nothing is trained.",
            inputs=[
                RespoModule.Input("module_a", tooltip="The module with the first concept."),
                concept_input("concept_a", "first"),
                _weight("weight_a", "How much of the first concept. Below 0 turns it round."),
                concept_input("concept_b", "second"),
                _weight(
                    "weight_b",
                    "sum: how much of the second concept; below 0 takes it away. a without b: how much of what both "
                    "have in common is removed, 0 to 1.",
                ),
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default=METHODS[0],
                    tooltip="sum: both together, each by its weight. a without b: the first one, less what it has in "
                    "common with the second one.",
                ),
                name_input(),
                RespoModule.Input(
                    "module_b",
                    optional=True,
                    tooltip="The module with the second concept; it may be the same one. Without it the first concept "
                    "is only weighted.",
                ),
            ],
            outputs=[
                RespoModule.Output(display_name="module", tooltip="For Apply Module, Balance or Save Module."),
            ],
        )

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        """Say before anything runs that a name cannot be one. A linked input is None here."""
        return check_new_name(name)

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
        """Raises RespoError: see `weighted_sum` and `without`."""
        terms = [term_of(module_a, concept_a, weight_a)]
        if module_b is not None:
            terms.append(term_of(module_b, concept_b, weight_b))
        if method == "sum":
            made = weighted_sum(terms, name.strip())
            how = " + ".join(f"{t.weight:g} {t.concept}" for t in terms)
        elif method != "a without b":
            raise RespoError(f"expected the method {' or '.join(METHODS)}, found {str(method)[:80]!r}.")
        elif len(terms) < 2:
            raise RespoError("'a without b' needs both modules, but nothing is linked to module_b.")
        else:
            made = without(*terms, name.strip())
            a, b = terms
            how = f"{a.weight:g} {a.concept} without {b.weight:.0%} of what it shares with {b.concept}"
        return composed(made, how, terms)


def term_of(module: LoadedModule, concept: str, weight: float = 1.0) -> Term:
    """Take a concept out of a module, the first one when it is not named. Raises RespoError."""
    found = concept.strip() or next(iter(module.attribute.concepts))
    return Term(module.attribute, found, weight, module.file, module.sha256)


def composed(made: Attribute, how: str, terms: list[Term]) -> io.NodeOutput:
    """Hand on a new concept, and tell how it was made."""
    loaded = LoadedModule.without_file(made, f"{made.name} (made in the workflow)")
    lines = (f"= {how}", note_on_bases(terms), loaded.describe())
    return io.NodeOutput(loaded, ui=ui.PreviewText("\n".join(filter(None, lines))))


def concept_input(id_: str, which: str) -> io.String.Input:
    """The name of one of a module's concepts."""
    return io.String.Input(
        id_,
        default="",
        tooltip=f"The {which} concept's name, e.g. woman. Leave it empty for the first one in its module.",
    )


def name_input() -> io.String.Input:
    """What the new concept is called."""
    return io.String.Input(
        "name",
        default="",
        tooltip="What to call the new concept. Leave it empty for a name made of the two, such as 'woman - old'.",
    )


def check_new_name(name: str | None) -> bool | str:
    """True, or what is wrong with a name; empty is fine."""
    try:
        if name is not None and str(name).strip():
            check_name("concept", str(name).strip())
    except RespoError as error:
        return str(error)
    return True


def _weight(id_: str, tooltip: str) -> io.Float.Input:
    return io.Float.Input(id_, default=1.0, min=-5.0, max=5.0, step=0.05, tooltip=tooltip)
