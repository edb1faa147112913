"""`python -m benchmarks.background [--images N] [--scene street]`: what Background adds to a module, on Emoji World.

The professions that are not held out, half women, half men by the shipped gender module, pictures by the trainer's own
sampler (DDIM, 20 steps, guidance 3): how much of the background stays as it is without the module (PSNR outside the
persons), and what becomes of the shares and the professions. A scene gives the pictures a textured background, which
a plain prompt leaves to chance. Rows are written as they come.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.command import Row, pictures, run
from benchmarks.drawing import TRAINED, Recorder, bench_unet, draw_all, photos, shipped_gender, unasked
from benchmarks.evidence.bench import examiners
from benchmarks.scoring import compared
from benchmarks.wrapped import Wrapped
from emoji_world import world
from respo_train.core.module.concept import ConceptModule
from respo_train.core.pictures.frequency import low_band
from respo_train.evaluation.drawn import Drawn
from respo_train.evaluation.protocol import Ask
from respo_train.network import Conditioning, Encoded


@dataclass(frozen=True)
class Setting:
    """One of Background; strength 0 is the module alone. `fourier`: another low band, which the node lacks."""

    recorded: bool
    both: bool
    strength: float
    levels: int = 1
    fourier: bool = False

    @property
    def name(self) -> str:
        """For the table."""
        where = "both" if self.both else "conditional"
        source = "recorded" if self.recorded else "self"
        band = "fourier" if self.fourier else "level"
        return f"{source} {where} {self.strength} {band} {self.levels}" if self.strength else "module alone"

    def added(self, own: Tensor, recorded: Tensor, conditional: bool) -> Tensor | float:
        """Return what is added to h, beside the module."""
        source = recorded if self.recorded else own
        if not self.strength or not (self.both or conditional):
            return 0.0
        return self.strength * (fourier_band if self.fourier else low_band)(source.float(), self.levels)


def fourier_band(h: Tensor, levels: int) -> Tensor:
    """Return h's lowest frequencies, as many as the Haar band of these levels has values; half of those on the edge."""
    edge = 0.5 / 2**levels
    heights, widths = (torch.fft.fftfreq(size).abs() for size in h.shape[-2:])
    rows, columns = ((f < edge).float() + (f == edge).float() / 2 for f in (heights, widths))
    return torch.fft.ifft2(torch.fft.fft2(h) * torch.outer(rows, columns)).real


KINDS = [(recorded, both) for both in (True, False) for recorded in (True, False)]
SETTINGS = [Setting(False, False, 0.0)]
SETTINGS += [Setting(recorded, both, strength) for strength in (0.35, 0.1, 0.2, 0.5, 1.0) for recorded, both in KINDS]
SETTINGS += [Setting(recorded, both, 0.35, levels) for levels in (2, 3) for recorded, both in KINDS]
SETTINGS += [Setting(True, True, 0.35, levels, fourier=True) for levels in (1, 2)]


def rows(options: Namespace) -> Iterator[Row]:
    """Yield what is left of the background and of the shares with each setting."""
    unet, (judge, segmenter) = bench_unet(), examiners()
    attribute = shipped_gender()
    scene = f" {world.SCENES[options.scene]}" if options.scene else ""
    asks = photos(options.images, world.GENDERS, TRAINED, scene)
    recorders = [Recorder(unet) for _ in asks]
    before = unasked(drawn(asks, recorders))
    modules = [[attribute.concept(name) for (name,) in ask.wishes()] for ask in asks]
    for setting in SETTINGS:
        if setting.name in options.rows:
            each = zip(modules, recorders, strict=True)
            after = drawn(asks, [Steered(unet, setting, own, recorder.heard) for own, recorder in each])
            yield setting.name, compared(judge, segmenter, before, after)


def drawn(asks: Sequence[Ask], unets: Sequence[Any]) -> list[Drawn]:
    """Draw each prompt by a U-Net of its own, which adds its module itself."""
    return [one for ask, unet in zip(asks, unets, strict=True) for one in draw_all(unet, [ask])]


@dataclass
class Steered(Wrapped):
    """A U-Net that adds each picture's own module to the conditional h of a run, and what `setting` adds beside it.

    `heard`: h of every pass of the unmodified run, in its order.
    """

    setting: Setting
    modules: Sequence[ConceptModule]
    heard: Sequence[Tensor]
    passes: int = 0

    def encoder(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Encoded:
        """Run the first half, and change h."""
        encoded = self.unet.encoder(latents, timesteps, conditioning)
        conditional = self.passes % 2 == 0
        h = encoded.h + self.setting.added(encoded.h, self.heard[self.passes], conditional)
        if conditional:
            each = zip(self.modules, encoded.h.split(1), strict=True)
            h = h + torch.cat([module.change(own).expand_as(own) for module, own in each])
        self.passes += 1
        return replace(encoded, h=h.to(encoded.h.dtype))


NAMES = [setting.name for setting in SETTINGS]
OPTIONS = {
    "--images": pictures(8),
    "--rows": {"nargs": "*", "choices": NAMES, "default": NAMES, "metavar": "NAME", "help": "only these rows"},
    "--scene": {"choices": world.SCENES, "help": "where the persons are; nothing said (default): anywhere"},
}

if __name__ == "__main__":
    sys.exit(run("background", __doc__, rows, OPTIONS))
