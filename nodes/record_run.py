"""Record Run: sample without changes, and record what Background and Where need of that run."""

from __future__ import annotations

import sys
from typing import Any

import comfy.samplers
from comfy_api.latest import io, ui

from ..respo_train.core.errors import RespoError
from .recording.tape import Tape
from .shared import widgets
from .shared.guard import architecture_of
from .shared.wire import RespoRecord
from .steering.patching import recording

_MOST_STEPS = 100_000  # before `denoise` takes its part: making more would take minutes, or memory that nobody has


class RecordRun(io.ComfyNode):
    """The host's KSampler, which also returns a record of the run."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoRecordRun",
            display_name="Record Run",
            advanced=("denoise",),
            description="Samples like KSampler, with the very same picture, and also records the run: with the "
            "record, Background and Where keep this picture's background in a second run.",
            inputs=[
                io.Model.Input("model", tooltip="The unmodified model, before Apply Module or Balance."),
                widgets.seed("The noise to start from. Link the same seed to the KSampler that uses the record."),
                io.Int.Input(
                    "steps",
                    default=20,
                    min=1,
                    max=10000,
                    tooltip="How many steps; use the same number in the other KSampler.",
                ),
                widgets.number(
                    "cfg",
                    8.0,
                    "How closely to follow the prompt; use the same value in the other KSampler.",
                    within=(0.0, 100.0, 0.1),
                    round=0.01,
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=comfy.samplers.KSampler.SAMPLERS,
                    tooltip="The sampler; use the same one in the other KSampler.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=comfy.samplers.KSampler.SCHEDULERS,
                    tooltip="The scheduler; use the same one in the other KSampler.",
                ),
                io.Conditioning.Input("positive", tooltip="What the picture should show."),
                io.Conditioning.Input("negative", tooltip="What it should not show."),
                io.Latent.Input("latent_image", tooltip="The latent to start from, also for the other KSampler."),
                widgets.number(
                    "denoise", 1.0, "Below 1, part of the latent is kept; use the same value in the other KSampler."
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="What KSampler would give: the picture 'before'."),
                RespoRecord.Output(display_name="record", tooltip="For Background or Where."),
            ],
        )

    @classmethod
    def execute(cls, model: Any, latent_image: Any, **settings: Any) -> io.NodeOutput:
        """Return the sampled latent and the record of its run; `settings`: the other inputs, as for KSampler.

        Raises RespoError when the model has no middle block, or there is nothing or far too much to sample.
        """
        architecture_of(model)
        steps, denoise = settings["steps"], settings["denoise"]
        if 0 < denoise < steps / _MOST_STEPS:  # the host makes steps / denoise of them, and takes the last
            raise RespoError(
                f"expected at most {_MOST_STEPS:,} steps, of which 'denoise' takes its part, found {steps} / {denoise}."
                " Choose a larger denoise or fewer steps."
            )
        # The host's own nodes.py, imported before any pack. `import nodes` could find our folder of the same name.
        sampler = sys.modules["nodes"].common_ksampler
        tape = Tape()
        (latent,) = sampler(recording(model, tape), latent=latent_image, **settings)
        record = tape.record()
        return io.NodeOutput(latent, record, ui=ui.PreviewText(record.describe()))
