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


def pictures(arguments: argparse.Namespace) -> None:
    """Fetch the art and compose the training pictures."""
    dataset.make(BUILD / "pictures", art.fetch(BUILD / "art"), 40_000, SEED)


def autoencoder(arguments: argparse.Namespace) -> None:
    """Train the autoencoder; print its PSNR on held-out pictures."""
    from safetensors.torch import load_file

    from . import train_autoencoder
    from .autoencoder import Autoencoder

    data = dataset.load(BUILD / "pictures")
    weights = train_autoencoder.train(data, BUILD, arguments.steps or 3600, SEED)
    model = Autoencoder()
    model.load_state_dict(load_file(weights))
    values = train_autoencoder.psnr(model.eval(), data, data.indices(held_out=True)[:1000])
    print(f"autoencoder: {values.mean():.2f} dB PSNR on {len(values)} held-out pictures")


STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    "pictures": pictures,
    "autoencoder": autoencoder,
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
