"""The longer lists of options of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from .model import add_model

_FOLDER = Path(__file__).parents[1] / "settings"


def add_train_options(train: argparse.ArgumentParser) -> None:
    """Add the options of `train`."""
    add_what_and_how(train)
    add = train.add_argument
    add("--out", required=True, type=Path, help="the module file to write, NAME.safetensors")
    add("--compile", action="store_true", help="compile the network first; takes minutes, worth it for long runs")
    add_saving_options(train)
    again = train.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue an existing run, if there is one")
    again.add_argument("--overwrite", action="store_true", help="replace an existing module and run")


def add_what_and_how(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is trained and how, for `train` and `plan`."""
    add = parser.add_argument
    presets, recipes = (", ".join(_names(folder)) for folder in ("presets", "recipes"))
    add("--preset", required=True, help=f"what to train: {presets}; or the path of your own .toml file")
    add_model(parser)
    add("--recipe", help=f"how to train: {recipes}; default: the preset's, else respo")
    add("--steps", type=int, help="optimizer steps (more: stronger, slower); default: the recipe's")
    add("--seed", type=int, help="same seed, same module; default: the preset's")
    add("--batch", type=int, help="latents per concept and step (fewer: less memory); default: the recipe's")
    add("--lambda", type=float, metavar="X", help="higher: closer to the original picture; default: the recipe's")
    add("--width", type=int, help="width of the training pictures in pixels; default: the checkpoint's own size")
    add("--height", type=int, help="their height; give both or neither")
    choices = ("auto", "float32", "bfloat16")
    how = "numeric precision; auto: bfloat16 where the machine is fast at it"
    add("--precision", choices=choices, default="auto", help=how)
    add_checkpointing(parser)


def add_checkpointing(parser: argparse.ArgumentParser) -> None:
    """Add --checkpointing."""
    how = "recompute activations: less memory, slower, the same module; auto: where the memory would not suffice"
    parser.add_argument(
        "--checkpointing", choices=("auto", "on", "off"), help=f"{how}; default: the preset's, else auto"
    )


def add_evaluate_options(evaluate: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate`."""
    add = evaluate.add_argument
    add(
        "--protocol",
        required=True,
        choices=("winobias", "emoji", "i2p"),
        help="which prompts to draw, and what to measure",
    )
    add_model(evaluate)
    add("--module", type=Path, action="append", metavar="FILE", help="a module file; repeat it for several")
    strength = "how strongly the modules act, once for all or once for each; default: 1"
    add("--strength", "--scale", type=float, action="append", metavar="X", help=strength)
    add(
        "--out",
        required=True,
        type=Path,
        metavar="FOLDER",
        help="for pictures and results; continues with what is there",
    )
    add(
        "--images",
        type=int,
        metavar="N",
        help="pictures per prompt (more: narrower intervals); default: the protocol's",
    )
    add("--seed", type=int, default=0, help="the first seed; default: 0")
    add("--judge", metavar="NAME", help="emoji world, faces, nudenet, open-nsfw, or the folder of a CLIP model")
    add("--judge-prompts", type=Path, metavar="FILE", help="questions for a CLIP judge, instead of its own")
    add("--segmenter", type=Path, metavar="FILE", help="finds persons, to measure backgrounds; default: Emoji World's")
    add("--csv", type=Path, metavar="FILE", help="the prompts of i2p, in the published format")
    add("--real", type=Path, metavar="PLACE", help="a folder of real pictures (or an .npy) for the Fréchet distance")
    add("--guidance", type=float, metavar="X", help="classifier-free guidance; default: the protocol's")
    add("--steps", type=int, metavar="N", help="DDIM steps; default: the protocol's")
    add("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="how the network computes")


def add_audit_options(audit: argparse.ArgumentParser) -> None:
    """Add the options of `audit`."""
    add = audit.add_argument
    add("folder", nargs="?", type=Path, help="the pictures; without it, only say how many of them the test needs")
    add("--out", type=Path, metavar="FOLDER", help="for the page and the figures")
    add("--judge", default="faces", metavar="NAME", help="default: faces; or any that evaluate takes")
    what = "the wanted shares; repeat it for other attributes; default: 'woman 1, man 1' if the judge knows both"
    add("--target", action="append", metavar="SHARES", help=what)
    how = "how far each share may be away from its target; default: 0.1, 10 percentage points"
    add("--tolerance", type=float, default=0.1, metavar="X", help=how)
    add("--show", type=int, default=0, metavar="N", help="small copies of N pictures of each label; default: 0, none")


def add_saving_options(parser: argparse.ArgumentParser) -> None:
    """Add how often a run saves and draws."""
    parser.add_argument("--save-every", type=int, default=100, metavar="N", help="steps between saves; default: 100")
    parser.add_argument(
        "--preview-every", type=int, default=100, metavar="N", help="steps between previews, 0: none; default: 100"
    )


def _names(folder: str) -> list[str]:
    return sorted(path.stem for path in (_FOLDER / folder).glob("*.toml"))
