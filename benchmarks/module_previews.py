"""`python -m benchmarks.module_previews`: the pictures by which ComfyUI's model library shows the shipped modules.

Four of the preset's own preview prompts, one concept after the other, drawn without Where by the trainer's own sampler.
"""

from __future__ import annotations

from itertools import cycle

import numpy as np
from einops import rearrange
from PIL import Image

from benchmarks.drawing import bench_unet, draw
from benchmarks.evidence.bench import BENCH
from benchmarks.evidence.methods import PRESETS, SHIPPED
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.files.write import replacing
from respo_train.settings.preset_files import read_config

PICTURES = 4


def main() -> None:
    """Write `<module>.jpg` beside each shipped module."""
    unet = bench_unet()
    for name, file in SHIPPED.items():
        path = BENCH / "modules" / file
        modules = cycle(load_attribute(path).concepts.values())
        prompts = read_config(PRESETS[name]).preview[:PICTURES]
        drawn = [draw(unet, prompt, [prompt], [next(modules)]) for prompt in prompts]
        sheet = rearrange(np.concatenate(drawn), "(rows columns) h w c -> (rows h) (columns w) c", columns=2)
        with replacing(path.with_suffix(".jpg")) as data:
            Image.fromarray(sheet).save(data, "JPEG", quality=88)
        print(path.with_suffix(".jpg"))


if __name__ == "__main__":
    main()
