"""Train Module: run the trainer's loop inside a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker
from PIL import Image
from torch import Tensor

from ..respo_train.core.files.checkpoint import load_hashed
from ..respo_train.core.files.header import opened
from .pictures.sheets import to_image
from .shared import widgets
from .shared.folders import place_for
from .shared.guard import architecture_of
from .shared.wire import LoadedModule, RespoModule
from .training.run import CHECKPOINTING, EXISTING, OWN_RECIPE, Existing, configuration, run, shipped


class TrainModule(io.ComfyNode):
    """MODEL, CLIP and a preset -> a trained module as RESPO_MODULE and as a file, and pictures before and after."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return widgets.schema(
            node_id="RespoTrainModule",
            display_name="Train Module",
            advanced=("recipe", "seed", "existing", "custom_preset", "checkpointing"),
            description="Trains a Respo module for the model that is linked here and writes it into models/respo. "
            "Cancel whenever you like: what was trained so far is kept, and the next run goes on from there.",
            is_output_node=True,
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model to train for, LoRAs included. It is not changed: training works on a copy.",
                ),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
                io.Combo.Input(
                    "preset",
                    options=shipped("presets"),
                    default="gender",
                    tooltip="What to train. gender: the concepts woman and man. The help page explains how to train "
                    "your own words.",
                ),
                widgets.choice(
                    "recipe",
                    [OWN_RECIPE, *shipped("recipes")],
                    "How to train. The preset's own choice is the recipe that worked best for it.",
                ),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="How many steps to train. 0 uses the recipe's number. More steps make the module "
                    "stronger; with a larger number than before, training continues where the last run ended.",
                ),
                widgets.seed("The noise to train with. The same seed gives the same module.", control=False),
                widgets.module_name(),
                widgets.choice(
                    "existing",
                    EXISTING,
                    "What to do when this file already exists. continue: go on with a training that was "
                    "stopped, or use a finished module as it is. start anew: replace it. refuse: leave it alone and "
                    "stop.",
                ),
                io.Int.Input(
                    "preview_every",
                    default=50,
                    min=0,
                    max=1_000_000,
                    tooltip="After how many steps to draw new pictures, with and without the module; they are also "
                    "drawn at the end. 0 draws none. Needs the VAE.",
                ),
                widgets.text(
                    "custom_preset",
                    "Leave this empty to use the preset above, or enter the text of a preset file (TOML) to "
                    "use instead; the help page has one to copy.",
                    multiline=True,
                ),
                io.Vae.Input(
                    "vae", optional=True, tooltip="Draws pictures during training. Without it there are none."
                ),
                widgets.choice(
                    "checkpointing",
                    CHECKPOINTING,
                    "Compute parts of a step twice instead of keeping them: less memory, about a fifth slower, "
                    "the same module. auto: only if the memory would not suffice otherwise.",
                    optional=True,
                ),
            ],
            outputs=[
                RespoModule.Output(display_name="module", tooltip="The trained module, for Apply Module or Balance."),
                io.Image.Output(
                    display_name="preview",
                    tooltip="The last sheet of pictures, before and after. Empty without a VAE.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, name: str | None = None, custom_preset: str | None = None, preset: str | None = None
    ) -> bool | str:
        return widgets.valid((place_for, name), (configuration, preset, custom_preset))

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        preset: str,
        recipe: str,
        steps: int,
        seed: int,
        name: str,
        existing: Existing,
        preview_every: int,
        custom_preset: str,
        vae: Any = None,
        checkpointing: str = CHECKPOINTING[0],
    ) -> io.NodeOutput:
        """Train a module, write its file, and return it with the last sheet of previews.

        Raises RespoError, and the host's own exception when the user cancels. What was trained so far is kept.
        """
        architecture_of(model)
        path, listed = place_for(name)
        config = configuration(str(preset), custom_preset, recipe, steps, seed, checkpointing)
        summary, drawn = run(config, model, clip, vae, path, existing, preview_every)
        attribute, sha256 = load_hashed(path)
        loaded = LoadedModule(attribute, listed, sha256)
        sheet = ExecutionBlocker(None) if drawn is None else picture(drawn)
        return io.NodeOutput(loaded, sheet, ui=ui.PreviewText(f"{summary}\n{loaded.describe()}"))


def picture(path: Path) -> Tensor:
    """Read a picture file as the host's IMAGE: `[1, H, W, 3]`, float32, 0 … 1."""
    with opened(path) as file, Image.open(file, formats=("PNG",)) as found:
        return to_image(found)
