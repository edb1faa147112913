"""`python -m benchmarks.background [--images N] [--scene street]`: what Background adds to a module, on Emoji World.

The professions that are not held out, half women, half men by the shipped gender module, pictures by the trainer's own
sampler (DDIM, 20 steps, guidance 3): how much of the background stays as it is without the module (PSNR outside the
persons), and what becomes of the shares and the professions. A scene gives the pictures a textured background, which
a plain prompt leaves to chance. Rows are written as they come.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.command import parser_of, write_figures
from benchmarks.drawing import TRAINED, bench_unet, draw, photos, unasked
from benchmarks.evidence.bench import BENCH, examiners
from benchmarks.scoring import agreement, background, score
from emoji_world import world
from respo_train.core.files.checkpoint import load_attribute
from respo_train.core.module.concept import ConceptModule
from respo_train.core.pictures.frequency import low_band
from respo_train.evaluation.drawn import Drawn
from respo_train.network import Conditioning, Encoded, SplitNetwork


@dataclass(frozen=True)
class Row:
    """One setting of Background; strength 0 is the module alone. `fourier`: another low band, which the node lacks."""

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
ROWS = [Row(False, False, 0.0)]
ROWS += [Row(recorded, both, strength) for strength in (0.35, 0.1, 0.2, 0.5, 1.0) for recorded, both in KINDS]
ROWS += [Row(recorded, both, 0.35, levels) for levels in (2, 3) for recorded, both in KINDS]
ROWS += [Row(True, True, 0.35, levels, fourier=True) for levels in (1, 2)]


def main() -> int:
    """Measure, print, write; returns the exit status."""
    parser = parser_of("background", __doc__)
    parser.add_argument("--images", type=int, default=8, help="pictures a profession (default 8)")
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="*", choices=names, default=names, metavar="NAME", help="only these rows")
    parser.add_argument("--scene", choices=world.SCENES, help="where the persons are; nothing said (default): anywhere")
    options = parser.parse_args()
    unet, (judge, segmenter) = bench_unet(), examiners()
    attribute = load_attribute(BENCH / "modules" / "emoji_world_gender.safetensors")
    scene = f" {world.SCENES[options.scene]}" if options.scene else ""
    asks = photos(options.images, ("woman", "man"), TRAINED, scene)
    recorders = [Recorder(unet) for _ in asks]

    def drawn(unets: Sequence[Any]) -> list[Drawn]:
        nothing = [None] * options.images  # the module is added by the U-Net itself
        return [ask.drawn(draw(own, ask.prompt, [ask.prompt], nothing)) for ask, own in zip(asks, unets, strict=True)]

    before = unasked(drawn(recorders))
    modules = [[attribute.concept(name) for (name,) in ask.wishes()] for ask in asks]
    figures: dict[str, Any] = {"images": options.images * len(asks), "scene": options.scene, "rows": {}}
    for row in (row for row in ROWS if row.name in options.rows):
        steered = zip(modules, recorders, strict=True)
        after = drawn([Steered(unet, row, own, recorder.heard) for own, recorder in steered])
        figures["rows"][row.name] = {
            "background_psnr": background(segmenter, before, after).to_dict(),
            "asked_and_seen": agreement(judge, after),
            **score(judge, after, ("woman", "man")).to_dict(),
        }
        print(row.name, json.dumps(figures["rows"][row.name]), flush=True)
        write_figures(options.json, figures)
    return 0


@dataclass
class Recorder:
    """A U-Net that keeps h of every pass of a run in `heard`, the conditional and the unconditional in turns."""

    unet: SplitNetwork
    heard: list[Tensor] = field(default_factory=list)

    def encoder(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Encoded:
        """Run the first half, and keep h."""
        encoded = self.unet.encoder(latents, timesteps, conditioning)
        self.heard.append(encoded.h)
        return encoded

    def __getattr__(self, name: str) -> Any:
        """Everything else is the U-Net's."""
        return getattr(self.unet, name)


@dataclass
class Steered:
    """A U-Net that adds each picture's own module to the conditional h of a run, and what `row` adds beside it.

    `heard`: h of every pass of the unmodified run, in its order.
    """

    unet: SplitNetwork
    row: Row
    modules: Sequence[ConceptModule]
    heard: Sequence[Tensor]
    passes: int = 0

    def encoder(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Encoded:
        """Run the first half, and change h."""
        encoded = self.unet.encoder(latents, timesteps, conditioning)
        conditional = self.passes % 2 == 0
        h = encoded.h + self.row.added(encoded.h, self.heard[self.passes], conditional)
        if conditional:
            each = zip(self.modules, encoded.h.split(1), strict=True)
            h = h + torch.cat([module.change(own).expand_as(own) for module, own in each])
        self.passes += 1
        return replace(encoded, h=h.to(encoded.h.dtype))

    def __getattr__(self, name: str) -> Any:
        """Everything else is the U-Net's."""
        return getattr(self.unet, name)


if __name__ == "__main__":
    sys.exit(main())
