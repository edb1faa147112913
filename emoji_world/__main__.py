"""Make Emoji World: one command for each stage, resumable and seeded. `python -m emoji_world --help`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from respo_train.core.files.write import locked, write_atomically

from . import art, dataset

ROOT = Path(__file__).resolve().parent
BUILD = ROOT.parent / "build" / "emoji_world"
SEED = 20_26
CHECKPOINT = ROOT / "checkpoint" / "emoji_world.safetensors"
TRANSFORMER = CHECKPOINT.with_name("emoji_world_transformer.safetensors")
JUDGE, SEGMENTER = ROOT / "judges" / "judge.safetensors", ROOT / "judges" / "segmenter.safetensors"
FIGURES, FROZEN = ROOT / "figures.json", ROOT / "frozen.json"


def pictures(_: argparse.Namespace) -> None:
    """Fetch the art and compose the training pictures."""
    dataset.make(BUILD / "pictures", art.fetch(BUILD / "art"), 40_000, SEED)


def autoencoder(arguments: argparse.Namespace) -> None:
    """Train the autoencoder."""
    from . import train_autoencoder

    train_autoencoder.train(dataset.load(BUILD / "pictures"), BUILD, arguments.steps or 2000, SEED)


def denoiser(arguments: argparse.Namespace) -> None:
    """Train the U-Net and the text encoder."""
    from . import train_unet

    data = dataset.load(BUILD / "pictures")
    train_unet.train(data, BUILD, _tokenizer(), SEED, arguments.steps or train_unet.FIRST_RUN)


def refine(arguments: argparse.Namespace) -> None:
    """Go on training them, on explicit captions above all."""
    from . import train_unet

    data = dataset.load(BUILD / "pictures")
    train_unet.refine(data, BUILD, _tokenizer(), SEED, arguments.steps or train_unet.SECOND_RUN)


def checkpoint(_: argparse.Namespace) -> None:
    """Write the one file that ComfyUI loads."""
    from . import pack

    target = pack.write_checkpoint(BUILD, CHECKPOINT)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def transformer(arguments: argparse.Namespace) -> None:
    """Train the transformer with the shipped text encoder and autoencoder."""
    from . import train_transformer
    from .sample import World

    data, model = dataset.load(BUILD / "pictures"), World(CHECKPOINT, _tokenizer())
    train_transformer.train(data, model, BUILD, SEED, arguments.steps or train_transformer.STEPS)


def transformer_further(arguments: argparse.Namespace) -> None:
    """Go on training the transformer: at several sizes, then on explicit captions above all."""
    from . import train_transformer
    from .sample import World

    source = art.fetch(BUILD / "art")
    data = [dataset.load(BUILD / "pictures")]
    for n, size in enumerate(train_transformer.SIZES):
        folder = BUILD / f"pictures_{size[0]}x{size[1]}"
        data.append(dataset.make(folder, source, train_transformer.OF_OTHER_SIZES, SEED + 3 + n, size=size))
    train_transformer.go_on(data, World(CHECKPOINT, _tokenizer()), BUILD, SEED, arguments.steps)


def transformer_checkpoint(_: argparse.Namespace) -> None:
    """Write the transformer's file; while it is in training, with the weights' average so far."""
    from . import pack, train_transformer

    target = pack.write_transformer(train_transformer.averaged(BUILD), CHECKPOINT, TRANSFORMER)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def measure_transformer(arguments: argparse.Namespace) -> None:
    """Measure the transformer's checkpoint, and what the image tokens behind each of its blocks carry."""
    from respo_train.judges.emoji_world import load_judge

    from . import measure as figures
    from . import train_transformer
    from .sample import TransformerWorld

    if not TRANSFORMER.exists():
        sys.exit(
            f"{TRANSFORMER.name} is not there. Train it: python -m emoji_world pictures, then transformer, then "
            "transformer_checkpoint."
        )
    model, examiner = TransformerWorld(TRANSFORMER, _tokenizer()), load_judge(JUDGE)
    count = arguments.steps or 7
    result = figures.measure_explicit(model, examiner, count, 1_000_000)
    result |= figures.measure_bias(model, examiner, 2 * count, 2_000_000)
    known: figures.Verdicts = {}
    for block in range(1, len(model.denoiser.transformer.layers) + 1):
        model.block = block
        carried = figures.measure_bottleneck(model, examiner, max(count // 3, 1), 3_000_000, known)
        result |= {f"block_{block}_{name}": value for name, value in carried.items()}
    for model.size in train_transformer.SIZES:
        found = figures.measure_explicit(model, examiner, max(count // 3, 1), 4_000_000)
        result |= {f"{name}_at_{model.size[0]}x{model.size[1]}": value for name, value in found.items()}
    _record("transformer", result)


def judge(arguments: argparse.Namespace) -> None:
    """Train the judge; print and keep its accuracy on held-out emoji."""
    from respo_train.judges.emoji_world import load_judge

    from . import train_judge

    training = dataset.make(
        BUILD / "judge-train", art.fetch(BUILD / "art"), 20_000, SEED + 1, train_judge.sample_training
    )
    test = dataset.make(BUILD / "judge-test", art.fetch(BUILD / "art"), 2_000, SEED + 2, train_judge.sample_test)
    train_judge.check_split(training)
    train_judge.train_judge(training, BUILD, JUDGE, arguments.steps or 2400, SEED)
    _record("judge", {**train_judge.judge_accuracy(load_judge(JUDGE), test), "pictures": len(test.pictures)})


def segmenter(arguments: argparse.Namespace) -> None:
    """Train the person segmenter; print and keep its overlap with the known masks on held-out emoji."""
    from respo_train.judges.segmenter import load_segmenter

    from . import train_judge

    training, test = dataset.load(BUILD / "judge-train"), dataset.load(BUILD / "judge-test")
    train_judge.train_segmenter(training, BUILD, SEGMENTER, arguments.steps or 600, SEED)
    _record("segmenter", {"intersection_over_union": train_judge.segmenter_iou(load_segmenter(SEGMENTER), test)})


def measure(arguments: argparse.Namespace) -> None:
    """Measure the shipped checkpoint: reconstructions, and some 1,500 pictures drawn and judged."""
    from respo_train.judges.emoji_world import load_judge

    from . import measure as figures
    from .sample import World
    from .train_autoencoder import psnr

    model = World(CHECKPOINT, _tokenizer())
    examiner = load_judge(JUDGE)
    data = dataset.load(BUILD / "pictures")
    values = psnr(model.autoencoder, data, data.indices(held_out=True)[:1000])
    _record("autoencoder", {"psnr": float(values.mean()), "pictures": len(values)})
    count = arguments.steps or 7
    result = figures.measure_explicit(model, examiner, count, 1_000_000)
    result |= figures.measure_bias(model, examiner, 2 * count, 2_000_000)
    result |= figures.measure_bottleneck(model, examiner, max(count // 3, 1), 3_000_000)
    _record("model", result)


def grids(_: argparse.Namespace) -> None:
    """Draw the README's picture grids."""
    from .grids import save_grids
    from .sample import World

    for path in save_grids(World(CHECKPOINT, _tokenizer()), ROOT / "pictures"):
        print(path)


def freeze(_: argparse.Namespace) -> None:
    """Record the shipped files' hashes. Whoever changes one later has to measure every published number again."""
    files = (CHECKPOINT, TRANSFORMER, JUDGE, SEGMENTER)
    hashes = {str(p.relative_to(ROOT)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    write_atomically(FROZEN, (json.dumps(hashes, indent=2) + "\n").encode())


def _record(part: str, figures: Mapping[str, object]) -> None:
    """Print a stage's figures and keep them in figures.json."""
    with locked(FIGURES):
        known = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
        known[part] = figures
        write_atomically(FIGURES, (json.dumps(known, indent=2) + "\n").encode())
    print(json.dumps({part: figures}, indent=2))


def _tokenizer() -> Path:
    """Return the folder of CLIP's tokenizer, which is part of every ComfyUI."""
    from respo_train.host.locate import find_host

    return find_host() / "comfy" / "sd1_tokenizer"


STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    stage.__name__: stage
    for stage in (
        pictures,
        autoencoder,
        denoiser,
        refine,
        checkpoint,
        transformer,
        transformer_further,
        transformer_checkpoint,
        judge,
        segmenter,
        measure,
        measure_transformer,
        grids,
        freeze,
    )
}


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(prog="python -m emoji_world", description="Make Emoji World, stage by stage.")
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, run in STAGES.items():
        stage = stages.add_parser(name, help=run.__doc__)
        stage.add_argument(
            "--steps", type=int, help="training steps (measure: pictures per prompt) instead of the recipe's"
        )
        stage.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    STAGES[arguments.stage](arguments)


if __name__ == "__main__":
    main()
