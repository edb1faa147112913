"""`python -m benchmarks.module_previews`: the pictures by which ComfyUI's model library shows the shipped modules.

Four of the preset's own preview prompts, one concept after the other, drawn without Where by the trainer's own sampler.
"""

from __future__ import annotations

from itertools import cycle

import numpy as np
from einops import rearrange
from PIL import Image

from benchmarks.drawing import draw
from benchmarks.evidence.bench import BENCH
from benchmarks.evidence.methods import PRESETS
from benchmarks.graph import TRANSFORMER, UNET
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.files.write import replacing
from respo_train.host.load import load_unet
from respo_train.settings.preset_files import read_config

PICTURES = 4


def main() -> None:
    """Write `<module>.jpg` beside each shipped module."""
    for path in sorted((BENCH / "modules").glob("*.safetensors")):
        attribute = load_attribute(path)
        block = attribute.architecture.block
        unet = load_unet(BENCH / "checkpoint" / (TRANSFORMER if block else UNET).checkpoint, block=block)
        modules = cycle(attribute.concepts.values())
        prompts = read_config(PRESETS[attribute.name]).preview[:PICTURES]
        drawn = [draw(unet, prompt, [prompt], [next(modules)]) for prompt in prompts]
        sheet = rearrange(np.concatenate(drawn), "(rows columns) h w c -> (rows h) (columns w) c", columns=2)
        with replacing(path.with_suffix(".jpg")) as data:
            Image.fromarray(sheet).save(data, "JPEG", quality=88)
        print(path.with_suffix(".jpg"))


if __name__ == "__main__":
    main()
