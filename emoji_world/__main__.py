"""Make Emoji World: one command a stage, each resumable and seeded. `python -m emoji_world --help`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from . import art, dataset

ROOT = Path(__file__).resolve().parent
BUILD = ROOT.parent / "build" / "emoji_world"
SEED = 20_26


def pictures(_: argparse.Namespace) -> None:
    """Fetch the art and compose the training pictures."""
    dataset.make(BUILD / "pictures", art.fetch(BUILD / "art"), 40_000, SEED)


def autoencoder(arguments: argparse.Namespace) -> None:
    """Train the autoencoder; print its PSNR on held-out pictures."""
    from safetensors.torch import load_file

    from . import train_autoencoder
    from .autoencoder import Autoencoder

    data = dataset.load(BUILD / "pictures")
    weights = train_autoencoder.train(data, BUILD, arguments.steps or 2000, SEED)
    model = Autoencoder()
    model.load_state_dict(load_file(weights))
    values = train_autoencoder.psnr(model.eval(), data, data.indices(held_out=True)[:1000])
    print(f"autoencoder: {values.mean():.2f} dB PSNR on {len(values)} held-out pictures")


def denoiser(arguments: argparse.Namespace) -> None:
    """Train the U-Net and the text encoder."""
    from . import train_unet

    train_unet.train(dataset.load(BUILD / "pictures"), BUILD, _tokenizer(), arguments.steps or 3000, SEED)


def checkpoint(_: argparse.Namespace) -> None:
    """Write the one file that ComfyUI loads."""
    from . import pack

    target = pack.write_checkpoint(BUILD, ROOT / "checkpoint" / "emoji_world.safetensors")
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def judge(arguments: argparse.Namespace) -> None:
    """Train the judge; print its accuracy on held-out emoji."""
    from . import train_judge

    training = dataset.make(
        BUILD / "judge-train", art.fetch(BUILD / "art"), 20_000, SEED + 1, train_judge.sample_training
    )
    test = dataset.make(BUILD / "judge-test", art.fetch(BUILD / "art"), 2_000, SEED + 2, train_judge.sample_test)
    train_judge.check_split(training)
    model = train_judge.train_judge(
        training, BUILD, ROOT / "judges" / "judge.safetensors", arguments.steps or 2400, SEED
    )
    for name, figures in train_judge.judge_accuracy(model, test).items():
        print(f"judge, {name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()))


def segmenter(arguments: argparse.Namespace) -> None:
    """Train the person segmenter; print its overlap with the known masks on held-out emoji."""
    from . import train_judge

    training, test = dataset.load(BUILD / "judge-train"), dataset.load(BUILD / "judge-test")
    model = train_judge.train_segmenter(
        training, BUILD, ROOT / "judges" / "segmenter.safetensors", arguments.steps or 600, SEED
    )
    print(f"segmenter: mean intersection over union {train_judge.segmenter_iou(model, test):.3f}")


def measure(arguments: argparse.Namespace) -> None:
    """Draw and judge some 3,000 pictures; print the bench's figures."""
    import json

    from respo_train.core.judge import load_judge

    from . import measure as figures
    from .sample import World

    model = World(ROOT / "checkpoint" / "emoji_world.safetensors", _tokenizer())
    examiner = load_judge(ROOT / "judges" / "judge.safetensors")
    count = arguments.steps or 15
    result = figures.measure_explicit(model, examiner, count, 1_000_000)
    result |= figures.measure_bias(model, examiner, 2 * count, 2_000_000)
    result |= figures.measure_bottleneck(model, examiner, max(count // 3, 1), 3_000_000)
    print(json.dumps(result, indent=2))


def grids(_: argparse.Namespace) -> None:
    """Draw the README's picture grids."""
    from .grids import save_grids
    from .sample import World

    for path in save_grids(World(ROOT / "checkpoint" / "emoji_world.safetensors", _tokenizer()), ROOT / "pictures"):
        print(path)


def _tokenizer() -> Path:
    """CLIP's tokenizer, as every ComfyUI carries it."""
    from respo_train.host.locate import find_host

    return find_host() / "comfy" / "sd1_tokenizer"


STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    stage.__name__: stage for stage in (pictures, autoencoder, denoiser, checkpoint, judge, segmenter, measure, grids)
}


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(prog="python -m emoji_world", description="Make Emoji World, stage by stage.")
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, run in STAGES.items():
        stage = stages.add_parser(name, help=run.__doc__)
        stage.add_argument("--steps", type=int, help="training steps, instead of the recipe's")
        stage.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    STAGES[arguments.stage](arguments)


if __name__ == "__main__":
    main()
