"""`python toy_command.py train …`: the real command line on the toy network, for tests that need real processes.

TOY_SECONDS: how long each pass through the first half shall take, so that a kill has something to hit. TOY_FAIL: which
process shall fail in its third step.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from toy_unet import ToyUNet  # noqa: E402

import respo_train.host.load as load  # noqa: E402
from respo_train.__main__ import main  # noqa: E402
from respo_train.network import Conditioning, Encoded  # noqa: E402

ENCODERS_A_STEP = 8  # two concepts, four prompts each


class SlowToyUNet(ToyUNet):
    def encoder(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning, hook: object = None) -> Encoded:
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")) / ENCODERS_A_STEP)
        if os.environ.get("TOY_FAIL") == os.environ.get("RANK", "0") and len(self.seen) > 3 * ENCODERS_A_STEP:
            raise MemoryError("a toy's out of memory")
        return super().encoder(latents, timesteps, conditioning)


if __name__ == "__main__":
    torch.set_num_threads(1)
    load.load_unet = lambda path, precision, size: SlowToyUNet()
    sys.exit(main())
