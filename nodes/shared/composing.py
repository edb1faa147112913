"""What Compose and Interpolate share: a concept as a term, the new concept's name, and the text on the node."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ...respo_train.core.module.attribute import Attribute, check_name
from ...respo_train.core.module.compose import Term, note_on_bases
from . import widgets
from .wire import LoadedModule


def term_of(module: LoadedModule, concept: str, weight: float = 1.0) -> Term:
    """Take a concept from a module; the first one when `concept` is empty. Raises UnknownConcept."""
    found = concept.strip() or next(iter(module.attribute.concepts))
    return Term(module.attribute, found, weight, module.file, module.sha256)


def composed(made: Attribute, how: str, terms: list[Term]) -> io.NodeOutput:
    """Return the new module as a node output, with a text on how it was made."""
    loaded = LoadedModule.without_file(made, f"{made.name} (made in the workflow)")
    lines = (f"= {how}", note_on_bases(terms), loaded.describe())
    return io.NodeOutput(loaded, ui=ui.PreviewText("\n".join(filter(None, lines))))


def concept_input(id_: str, which: str) -> io.String.Input:
    """Return the input for the name of one of a module's concepts."""
    return widgets.text(id_, f"The {which} concept's name, e.g. woman. Leave it empty for the first one in its module.")


def name_input() -> io.String.Input:
    """Return the input for the new concept's name."""
    return widgets.text(
        "name", "What to call the new concept. Leave it empty for a name made of the two, such as 'woman - old'."
    )


def check_new_name(name: str) -> None:
    """Raise RespoError unless a name is acceptable, or empty."""
    if name.strip():
        check_name("concept", name.strip())
