"""The command `evaluate`: from its options to an evaluation."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..core.errors import RespoError
from ..core.files.checkpoint import load_hashed
from ..core.files.text import read_text
from ..core.judge import AnyJudge
from ..evaluation.evaluate import Job, evaluate
from ..evaluation.protocol import Protocol, read_protocol
from ..evaluation.sampler import Brush
from ..evaluation.steering import Module, Steering
from ..host import load
from ..judges import BUILT_IN, find_judge
from ..judges.emoji_world import Judge
from ..judges.segmenter import Segmenter, load_segmenter
from ..team import join_team, leave_team
from .messages import say
from .model import base_of, required_model

_SEGMENTER = Path(__file__).resolve().parents[2] / "emoji_world" / "judges" / "segmenter.safetensors"


def run(options: argparse.Namespace) -> int:
    """Evaluate; return the exit code."""
    protocol = read_protocol(options.protocol)
    _check(options)
    steering = Steering(_modules(options.module or [], options.strength or []))
    team = join_team()  # first: it gives each process its own GPU, where a CLIP judge is loaded, too
    judge = _judge(options, protocol)
    segmenter = _segmenter(options.segmenter, judge)
    try:
        page = evaluate(_job(options, protocol, steering, judge, segmenter), team, say)
    except KeyboardInterrupt:
        if team.leads:
            say(f"stopped: what was drawn is kept in {options.out}. The same command goes on.", sys.stderr)
        return 130
    except torch.OutOfMemoryError as error:
        raise RespoError(
            f"the GPU has too little memory for this; try --precision bfloat16. What was drawn is kept in {options.out}"
        ) from error
    leave_team()
    if page is not None:
        say(f"wrote {page} and {page.with_name('results.json')}")
    return 0


def _job(
    options: argparse.Namespace, protocol: Protocol, steering: Steering, judge: AnyJudge, segmenter: Segmenter | None
) -> Job:
    model = required_model(options)
    checkpoint = base_of(model)
    # Of a transformer: h is where the modules have it. Modules for different blocks are refused below.
    block = steering.modules[0].attribute.architecture.block if steering.modules else 0
    unet = load.load_unet(model, options.precision, block=block)
    for module in steering.modules:
        unet.architecture.require(module.attribute.architecture)
    steps = options.steps or protocol.steps
    reading = Steering(steering.modules, lambda prompt: unet.encode_prompts([prompt])[0].context)
    brush = Brush(unet, checkpoint.sha256, reading, steps, options.guidance, protocol.guidance)
    images = options.images or protocol.images
    settings = {
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": checkpoint.sha256,
        "modules": [f"{m.file} × {m.strength:g} (sha256 {m.sha256[:12]})" for m in steering.modules],
        "pictures_a_prompt": images,
        "seed": options.seed,
        "steps": steps,
        "guidance": protocol.guidance if options.guidance is None else options.guidance,
    }
    places = {"csv": options.csv, "real": options.real}
    return Job(protocol, brush, judge, segmenter, options.out, images, options.seed, **places, settings=settings)


def _check(options: argparse.Namespace) -> None:
    """Raise RespoError for mistakes that can be found before anything is loaded."""
    for name, least, most in (("images", 1, 10_000), ("steps", 1, 1000), ("guidance", 0, 100)):
        value = getattr(options, name)
        if value is not None and not least <= value <= most:  # NaN is neither
            raise RespoError(f"expected --{name} of {least} to {most}, found {value}")
    required_model(options)
    if (options.csv is None) == (options.protocol == "i2p"):
        raise RespoError("the protocol i2p takes its prompts from --csv FILE, and no other protocol does")
    if options.out.exists() and not options.out.is_dir():
        raise RespoError(f"expected a folder for --out, but {options.out} is a file")


def _modules(paths: Sequence[Path], strengths: Sequence[float]) -> list[Module]:
    if len(strengths) > 1 and len(strengths) != len(paths):
        raise RespoError(
            f"expected one --strength for all modules, or one for each of {len(paths)}, found {len(strengths)}"
        )
    if not all(math.isfinite(strength) for strength in strengths):
        raise RespoError(f"expected every --strength to be a number, found {', '.join(map(str, strengths))}")
    each = list(strengths) * len(paths) if len(strengths) == 1 else list(strengths) or [1.0] * len(paths)
    loaded = [(*load_hashed(path), path.name) for path in paths]
    return [Module(own, file, sha256, by) for (own, sha256, file), by in zip(loaded, each, strict=True)]


def _judge(options: argparse.Namespace, protocol: Protocol) -> AnyJudge:
    wanted = options.judge or protocol.judge
    prompts = read_text(options.judge_prompts, "the judge's prompts") if options.judge_prompts else ""
    if options.judge is None and wanted not in BUILT_IN:
        raise RespoError(
            f"the protocol {protocol.name} is judged by CLIP: give the folder of a CLIP model with --judge FOLDER, or "
            "--judge faces"
        )
    return find_judge(wanted, prompts)


def _segmenter(path: Path | None, judge: AnyJudge) -> Segmenter | None:
    """Return the segmenter at `path`; without a path, Emoji World's for its own judge, otherwise None."""
    if path is not None:
        return load_segmenter(path)
    return load_segmenter(_SEGMENTER) if isinstance(judge, Judge) and _SEGMENTER.is_file() else None
