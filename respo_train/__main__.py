"""The command line: `python -m respo_train train ...` and `python -m respo_train info FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .core.checkpoint import load_attribute
from .core.errors import RespoError

_DESCRIPTION = """\
Trains Respo modules: small files that make an image model fair, loaded in ComfyUI by the node "Load Module".

  python -m respo_train train --preset gender --checkpoint model.safetensors --out gender.safetensors
  python -m respo_train info gender.safetensors
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, or 2 for something the user can put right, said in one line."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except RespoError as error:
        print(f"respo_train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("respo_train: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m respo_train", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train all concepts of an attribute on your checkpoint")
    train.add_argument("--preset", required=True, help="what to train: gender, or the path of your own .toml file")
    train.add_argument("--checkpoint", required=True, type=Path, help="a full SD 1.x, 2.x, SDXL or similar checkpoint")
    train.add_argument("--out", required=True, type=Path, help="the module file to write, NAME.safetensors")
    train.add_argument("--steps", type=int, help="optimizer steps (more: stronger, slower); default: the preset's")
    train.add_argument("--seed", type=int, help="same seed, same module; default: the preset's")
    train.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="how the network computes; auto: bfloat16 where the machine is fast at it",
    )
    train.set_defaults(run=_train)
    info = commands.add_parser("info", help="show what a module file holds")
    info.add_argument("file", type=Path, help="a module file, NAME.safetensors")
    info.set_defaults(run=_info)
    return parser


def _train(options: argparse.Namespace) -> None:
    from .host.load import load_unet
    from .job import Base, check_job, train_to_file
    from .preset_files import read_config  # not before it is needed: `info` works without pydantic
    from .progress import Progress

    given = {"steps": options.steps, "seed": options.seed}
    config = read_config(options.preset, {key: value for key, value in given.items() if value is not None})
    check_job(config, options.out)
    unet = load_unet(options.checkpoint, options.precision, config.size)
    print(f"{', '.join(config.concepts)} on {unet.architecture.describe()}: {config.steps} steps")
    with Progress(config.steps) as progress:
        train_to_file(config, unet, Base.of(options.checkpoint), options.out, progress)
    print(f"wrote {options.out} and {options.out.with_suffix('.losses.png')}")


def _info(options: argparse.Namespace) -> None:
    attribute = load_attribute(options.file)
    print(f"{attribute.name} ({attribute.purpose}) for {attribute.architecture.describe()}")
    print(f"trained on {attribute.base.get('name', 'an unnamed checkpoint')}")
    for name, module in attribute.concepts.items():
        responsible, semantic = module.responsible, module.semantic
        shape = " x ".join(str(size) for size in responsible.value().shape)
        print(
            f"  {name}: {responsible.kind} {shape}, size of responsible {responsible.value().norm():.3g}, "
            f"of semantic {semantic.value().norm():.3g}"
        )
    for key, value in attribute.training.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    sys.exit(main())
