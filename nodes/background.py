"""Background: keep a picture's background by adding some of the coarse structure (the low band) of h."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from .recording.record import Record
from .shared import widgets
from .shared.guard import architecture_of
from .steering.edits import Guidance
from .steering.low_band import LowBand
from .steering.patching import sigma_range, with_low_band


class Background(io.ComfyNode):
    """MODEL -> MODEL that adds a low band to h: that of h itself, or that of a recorded run."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoBackground",
            display_name="Background",
            advanced=("levels", "start_percent", "end_percent", "guidance", "enabled"),
            description="Holds on to the background while Apply Module or Balance change the subject.",
            inputs=[
                io.Model.Input("model", tooltip="The model, after Apply Module or Balance."),
                widgets.number(
                    "strength",
                    0.35,
                    "How much of the coarse structure to add. 0.35 is what the method's authors use, 0 is off "
                    "(the very same picture as without this node).",
                    within=(0.0, 2.0, 0.05),
                ),
                io.Int.Input(
                    "levels",
                    default=1,
                    min=1,
                    max=5,
                    tooltip="How coarse the structure is: 1 averages blocks of 2 x 2, and each further level doubles "
                    "the block size.",
                ),
                *widgets.span(),
                io.Combo.Input(
                    "guidance",
                    options=["conditional", "both"],
                    default="both",
                    tooltip="both: act on the negative prompt's prediction as well, as the method's authors do. "
                    "conditional: act only on the positive prompt's prediction; cfg then multiplies the effect, and "
                    "colours become harsh.",
                ),
                widgets.enabled(),
                widgets.record(
                    "From Record Run, with the same seed, prompts and settings: the picture keeps that run's "
                    "background. Without one the picture's own structure is strengthened."
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The model to sample with, for a KSampler.")],
        )

    @classmethod
    def check_lazy_status(cls, enabled: bool, **linked: Any) -> list[str]:
        return widgets.inputs_to_make(enabled, linked)

    @classmethod
    def execute(
        cls,
        model: Any,
        strength: float,
        levels: int,
        start_percent: float,
        end_percent: float,
        guidance: Guidance,
        enabled: bool,
        record: Record | None = None,
    ) -> io.NodeOutput:
        """Return the model that keeps a run's coarse structure; the very same one when the node is off.

        Raises RespoError: no middle block, or a strength that is not finite. A record of a different run is refused
        later, when sampling starts.
        """
        if widgets.is_off(enabled, strength, start_percent, end_percent):
            return widgets.off(model)
        block = architecture_of(model).block
        sigmas = sigma_range(model, start_percent, end_percent)
        edit = LowBand(strength, levels, sigmas, guidance, record, block=block)
        text = "Strengthens the picture's own structure" if record is None else "Holds to the recorded run"
        return io.NodeOutput(with_low_band(model, edit), ui=ui.PreviewText(text))
