"""Apply Module: steer every picture towards one concept (RespoDiff, arXiv 2509.15257)."""

from __future__ import annotations

from typing import Any, Literal

from comfy_api.latest import io, ui

from ..respo_train.core.module.attribute import direction_of
from .shared import widgets
from .shared.guard import check_fit, require_allowed
from .shared.wire import LoadedModule, RespoModule
from .steering.edits import Area, Guidance, ModuleEdit
from .steering.patching import sigma_range, with_edits

Own = Literal["module's own"]
OWN: Own = "module's own"


class ApplyModule(io.ComfyNode):
    """MODEL -> MODEL that adds one concept's change to h."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoApplyModule",
            display_name="Apply Module",
            advanced=("fidelity", "start_percent", "end_percent", "enabled"),
            description="Steers every picture towards one concept of a module, e.g. 'woman'. "
            "For a fair mix inside one batch use Balance instead.",
            inputs=[
                io.Model.Input("model", tooltip="The model to steer: the one that the module was made for."),
                RespoModule.Input("module", tooltip="From Load Module."),
                widgets.text(
                    "concept",
                    "Which concept to steer towards, e.g. woman. Leave it empty for the first one; Load Module "
                    "shows which ones there are.",
                ),
                widgets.strength(),
                widgets.fidelity(),
                *widgets.span(),
                io.Combo.Input(
                    "guidance",
                    options=["conditional", "both", OWN],
                    default=OWN,
                    tooltip="module's own: the setting that the module was made for. conditional: steer only the "
                    "positive prompt's prediction. both: steer the negative prompt's prediction as well, which is "
                    "gentler at a high cfg.",
                ),
                widgets.enabled(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Steer only where the mask is white. Without a mask the module acts everywhere.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The steered model, for a KSampler.")],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        module: LoadedModule,
        concept: str,
        strength: float,
        fidelity: float,
        start_percent: float,
        end_percent: float,
        guidance: Guidance | Own,
        enabled: bool,
        mask: Any = None,
    ) -> io.NodeOutput:
        """Return the steered model; the very same one when the node is off.

        Raises RespoError: unknown concept, wrong architecture, no middle block, or a strength that is refused.
        """
        if widgets.is_off(enabled, strength, start_percent, end_percent):
            return widgets.off(model)
        require_allowed(module, strength)
        concept = concept.strip() or next(iter(module.attribute.concepts))
        note = check_fit(model, module)
        acting_on = module.guidance if guidance == OWN else guidance
        area, sigmas = None if mask is None else Area.of(mask), sigma_range(model, start_percent, end_percent)
        edit = ModuleEdit.of(module, concept, strength, fidelity=fidelity, sigmas=sigmas, guidance=acting_on, area=area)
        own_sides = guidance == OWN and acting_on == "both"
        sides = "Acts on both sides of guidance, as the module was made for" if own_sides else ""
        text = "\n".join(filter(None, [f"Steers {direction_of(concept, module.attribute.training)}", sides, note]))
        return io.NodeOutput(with_edits(model, [edit]), ui=ui.PreviewText(text))
