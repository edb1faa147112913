"""Safety: steer away from unwanted content by the sum of all safety concepts that are switched on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io, ui

from ..respo_train.core.errors import ArchitectureMismatch, RespoError
from ..respo_train.core.files.checkpoint import load_hashed
from ..respo_train.core.shown import printable
from .shared import widgets
from .shared.folders import own_folder, resolve, version_of
from .shared.guard import architecture_of, check_fit
from .shared.safety_concepts import SafetyConcept, safety_concepts
from .shared.shipped import SHA256
from .shared.wire import LoadedModule
from .steering.edits import ModuleEdit
from .steering.patching import sigma_range, with_edits

LEVELS = {"off": 0.0, "weak": 0.25, "medium": 0.5, "strong": 1.0, "max": 1.5}
_WARNING = "This makes unwanted pictures rarer. It is no guarantee."


class Safety(io.ComfyNode):
    """MODEL -> MODEL that adds the safety concepts' changes to h."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Ids and their order must never change.

        The switches depend on the files that are present, so web/js/safety.js keeps their values by name.
        """
        return widgets.schema(
            node_id="RespoSafety",
            display_name="Safety",
            advanced=("start_percent", "end_percent", "enabled"),
            description="Makes what you did not ask for rarer, e.g. weapons, with the safety modules that you have. It "
            "is no guarantee: use it together with negative prompts and with something that checks the pictures.",
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                io.Model.Input("model", tooltip="The model to steer: the one that the safety modules were made for."),
                io.Combo.Input(
                    "level",
                    options=list(LEVELS),
                    default="medium",
                    tooltip="How hard to steer away. More makes unwanted things rarer and changes more of the picture. "
                    "The help page has figures. off: the very same picture as without this node.",
                ),
                *widgets.span(),
                widgets.enabled(),
                *(_switch(found) for found in safety_concepts()),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The steered model, for a KSampler.")],
        )

    @classmethod
    def fingerprint_inputs(cls, **given: Any) -> list[str]:
        # Of a linked switch the host does not know the value yet, and gives None: it may turn out to be on.
        known = {name: value for name, value in given.items() if value is not None}
        return [version_of(found.file) for found in _switched_on(known)]

    @classmethod
    def execute(
        cls, model: Any, level: str, start_percent: float, end_percent: float, enabled: bool, **switches: Any
    ) -> io.NodeOutput:
        """Return the steered model; the very same one when the node or all switches are off.

        Raises RespoError: a missing concept, no concept that fits the model, or no middle block.
        """
        strength = LEVELS[level]
        if not widgets.is_off(enabled, strength, start_percent, end_percent):
            require_known(_as_sent(cls.hidden), {wanted.id for wanted in cls.define_schema().inputs})
            found = _switched_on(switches)
            if found:
                edits, text = edits_of(model, found, strength, sigma_range(model, start_percent, end_percent))
                text = f"Level {level}, strength {strength:g}\n{text}\n{_WARNING}"
                return io.NodeOutput(with_edits(model, edits), ui=ui.PreviewText(text))
        return widgets.off(model)


def _switch(found: SafetyConcept) -> io.Boolean.Input:
    """Return one concept's switch. It is optional: prompts saved before the file was there still run, with it on."""
    return io.Boolean.Input(
        found.switch,
        display_name=printable(found.switch),
        default=True,
        optional=True,
        label_on="on",
        label_off="off",
        tooltip=printable(
            f"Steers {found.direction}. From {found.file}, made on {found.base}; it is skipped where the model is of "
            "another kind."
        ),
    )


def _switched_on(switches: Mapping[str, Any]) -> list[SafetyConcept]:
    """Return the concepts whose switch is not off. Raises RespoError when no safety module is installed."""
    concepts = safety_concepts()
    if not concepts:
        raise RespoError(f"no safety module is here. Put one into {own_folder()} and press R in ComfyUI.")
    return [found for found in concepts if switches.get(found.switch, True)]


def _as_sent(hidden: Any) -> Mapping[str, Any]:
    """Return this node's inputs as the workflow holds them: the host passes on only those in the schema."""
    graph = getattr(hidden, "dynprompt", None)
    inputs: Mapping[str, Any] = {} if graph is None else graph.get_node(hidden.unique_id)["inputs"]
    return inputs


def require_known(sent: Mapping[str, Any], known: set[str]) -> None:
    """Raise RespoError when a workflow switches on a concept that is missing here.

    Without it the workflow would run unprotected and nobody would notice. Raises ModuleFileError, which says where to
    put the file, when the file itself is missing.
    """
    for name, value in sent.items():
        if name in known or not value:
            continue
        concept, _, file = name.removesuffix(")").rpartition(" (")
        if concept:
            resolve(file)
        raise RespoError(
            f"this workflow switches on {name[:200]!r}, which is not among the safety concepts here. Get the file that "
            "it was made with, or add the Safety node again."
        )


def edits_of(
    model: Any, concepts: list[SafetyConcept], strength: float, sigmas: tuple[float, float]
) -> tuple[list[ModuleEdit], str]:
    """Return one edit for each concept made for this model's architecture, and the text to show on the node.

    Raises ArchitectureMismatch when there is none, and RespoError for a file that cannot be read.
    """
    architecture = architecture_of(model)
    edits, lines = [], []
    for found in concepts:
        path = resolve(found.file)
        attribute, sha256 = load_hashed(path)
        module = LoadedModule(attribute, found.file, sha256)
        try:
            note = check_fit(model, module)
        except ArchitectureMismatch:
            lines.append(f"Skipped: {found.switch} is for {module.attribute.architecture.describe()}")
            continue
        edits.append(
            ModuleEdit.of(
                module, found.concept, strength, fidelity=1.0, sigmas=sigmas, guidance=module.guidance_in_batches
            )
        )
        origin = "ships with Respo" if sha256 in SHA256.values() else f"your own file, SHA-256 {sha256[:12]}"
        lines.append(f"On: {found.switch}, {origin}" + (f"\n{note}" if note else ""))
    if not edits:
        raise ArchitectureMismatch(
            f"none of the safety modules that are switched on was made for {architecture.describe()}, so nothing would "
            f"be kept out. {' '.join(lines)}. Get one for this model, or switch this node off."
        )
    return edits, "\n".join(lines)
