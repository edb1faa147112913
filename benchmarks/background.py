"""`python -m benchmarks.background [--images N] [--scene street]`: what Background adds to a module, on Emoji World.

The professions that are not held out, half women, half men by the shipped gender module, pictures by the trainer's own
sampler (DDIM, 20 steps, guidance 3): how much of the background stays as it is without the module (PSNR outside the
persons), and what becomes of the shares and the professions. A scene gives the pictures a textured background, which
a plain prompt leaves to chance. Rows are written as they come.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.demo.scoring import Pictures, agreement, background_psnr, score
from benchmarks.shipped_modules import BENCH, GUIDANCE, STEPS
from emoji_world import world
from emoji_world.measure import article
from respo_train.core.counting.balance import assign, parse_shares
from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import load_attribute, write_atomically
from respo_train.core.module.concept import ConceptModule
from respo_train.core.pictures.frequency import low_band
from respo_train.host.load import load_unet
from respo_train.judges.emoji_world import Judge, load_judge
from respo_train.judges.segmenter import load_segmenter
from respo_train.latents.ddim import ddim_step, schedule
from respo_train.latents.randomness import keyed_noise
from respo_train.latents.sampling import guided
from respo_train.network import SplitUNet

JOBS = [p.word for p in world.PROFESSIONS if not p.held_out]
Heard = dict[tuple[int, bool], Tensor]  # (step, conditional) -> the unmodified run's h


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

    def added(self, own: Tensor, recorded: Tensor | None, conditional: bool) -> Tensor | float:
        """Return what is added to h, beside the module."""
        source = recorded if self.recorded else own
        if not self.strength or not (self.both or conditional) or source is None:
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.background", description=__doc__)
    parser.add_argument("--images", type=int, default=8, help="pictures a profession (default 8)")
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="*", choices=names, default=names, metavar="NAME", help="only these rows")
    parser.add_argument("--scene", choices=world.SCENES, help="where the persons are; nothing said (default): anywhere")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    unet = load_unet(BENCH / "checkpoint" / "emoji_world.safetensors")
    judge = load_judge(BENCH / "judges" / "judge.safetensors")
    segmenter = load_segmenter(BENCH / "judges" / "segmenter.safetensors")
    attribute = load_attribute(BENCH / "modules" / "emoji_world_gender.safetensors")
    shares = parse_shares("woman 1, man 1")
    labels = {job: assign(10_000 * index, options.images, shares) for index, job in enumerate(JOBS)}
    heard: dict[str, Heard] = {job: {} for job in JOBS}
    scene = f" {world.SCENES[options.scene]}" if options.scene else ""
    texts = {job: f"a photo of {article(job)} {job}{scene}" for job in JOBS}
    before = {job: draw(unet, texts[job], options.images, None, None, heard[job]) for job in JOBS}
    figures: dict[str, Any] = {"images": options.images * len(JOBS), "scene": options.scene, "rows": {}}
    for row in (row for row in ROWS if row.name in options.rows):
        modules = {job: [attribute.concept(label) for label in labels[job]] for job in JOBS}
        after = {job: draw(unet, texts[job], options.images, modules[job], row, heard[job]) for job in JOBS}
        figures["rows"][row.name] = {
            "background_psnr": vars(background_psnr(segmenter, before, after)),
            "asked_and_seen": agreement(judge, after, labels),
            **shares_of(judge, after, labels),
        }
        print(row.name, json.dumps(figures["rows"][row.name]), flush=True)
        if options.json:
            write_atomically(options.json, (json.dumps(figures, indent=2) + "\n").encode())
    return 0


def shares_of(judge: Judge, after: Mapping[str, Pictures], labels: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return deviation ratio and accuracy; nothing where pictures have fallen apart so far that no share is left."""
    try:
        seen = score(judge, after, ["woman", "man"], labels)
    except RespoError:
        return {}
    return {
        "deviation_ratio": vars(seen.overall),
        "profession_accuracy": seen.profession_accuracy,
        "unsure": seen.unsure,
    }


def changes_of(modules: Sequence[ConceptModule], h: Tensor) -> Tensor:
    """Return what each picture's own module adds to h, `[N, C, H, W]`."""
    return torch.cat([module.change(own).expand_as(own) for module, own in zip(modules, h.split(1), strict=True)])


@torch.no_grad()
def draw(
    unet: SplitUNet,
    text: str,
    images: int,
    modules: Sequence[ConceptModule] | None,
    row: Row | None,
    heard: Heard,
) -> Pictures:
    """Draw `images` of a prompt; without a row the h of every step is written to `heard`."""
    prompts = unet.encode_prompts([text, ""])
    latents = torch.stack([keyed_noise(unet.latent_shape, text, index) for index in range(images)])
    timesteps, alphas = schedule(unet.alphas_cumprod, STEPS)
    for step, timestep in enumerate(timesteps):
        predicted = []
        for prompt, conditional in zip(prompts, (True, False), strict=True):
            encoded = unet.encoder(latents, timestep.expand(images), prompt)
            h = encoded.h
            if row is None or modules is None:
                heard[step, conditional] = h
            else:
                extra = row.added(h, heard.get((step, conditional)), conditional)
                h = h + extra + (changes_of(modules, encoded.h) if conditional else 0.0)
            predicted.append(unet.decoder(encoded, h.to(encoded.h.dtype)))
        now, after = (alphas[place].expand(images) for place in (step, step + 1))
        latents = ddim_step(latents, guided(predicted[1], predicted[0], GUIDANCE), now, after)
    pictures = unet.decode(latents)
    assert pictures is not None  # Emoji World has its autoencoder inside
    found: Pictures = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return found


if __name__ == "__main__":
    sys.exit(main())
