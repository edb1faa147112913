"""The command line: `python -m respo_train train ...`, `resume`, `info`, `import`, `export`, `evaluate` and `audit`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import torch

from .cli import examples
from .cli.exchange import FOREIGN, describe_foreign, export_file, import_file
from .cli.info import describe
from .cli.messages import say, warnings_in_one_line
from .cli.words import OPTIONS
from .core.errors import RespoError
from .core.files.checkpoint import load_attribute

_FOLDER = Path(__file__).parent / "settings"


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, like every other error here."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"respo_train: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 130 when stopped, or 2 for an error that the user can fix."""
    rank = os.environ.get("RANK", "0")
    name = "respo_train" if rank == "0" else f"respo_train, process {rank}"
    options = _parser().parse_args(arguments)
    try:
        with warnings_in_one_line(name):
            code: int = options.run(options)
            return code
    except RespoError as error:
        say(f"{name}: {error.worded(OPTIONS)}", sys.stderr)
        return 2
    except torch.OutOfMemoryError:
        advice = "train anew with a smaller --batch, --width and --height, or with --precision bfloat16"
        say(f"{name}: the GPU has too little memory for this: {advice}", sys.stderr)
        return 2
    except OSError as error:  # what no reader or writer has put into words
        reason = error.strerror or error
        say(f"{name}: cannot use {error.filename}: {reason}. Check its name and its rights.", sys.stderr)
        return 2
    except KeyboardInterrupt:
        say(f"{name}: stopped at once; what was saved last is intact", sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("python -m respo_train", description=examples.DESCRIPTION, formatter_class=_plain)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train = commands.add_parser(
        "train",
        help="train all concepts of an attribute on your checkpoint",
        epilog=examples.TRAIN,
        formatter_class=_plain,
    )
    _add_train_options(train)
    train.set_defaults(run=_train)
    resume = commands.add_parser(
        "resume", help="continue an interrupted run, or train longer", epilog=examples.RESUME, formatter_class=_plain
    )
    resume.add_argument("file", type=Path, help="the module file, with its folder NAME.training beside it")
    resume.add_argument("--checkpoint", type=Path, help="the same checkpoint, if it has been moved")
    resume.add_argument(
        "--steps", type=int, help="total number of optimizer steps, including those done; default: as before"
    )
    _add_saving_options(resume)
    resume.set_defaults(run=_resume)
    evaluate = commands.add_parser(
        "evaluate", help="draw with and without modules, judge, count", epilog=examples.EVALUATE, formatter_class=_plain
    )
    _add_evaluate_options(evaluate)
    evaluate.set_defaults(run=_evaluate)
    audit = commands.add_parser(
        "audit",
        help="count who is in a folder of pictures, against a target",
        epilog=examples.AUDIT,
        formatter_class=_plain,
    )
    _add_audit_options(audit)
    audit.set_defaults(run=_audit)
    info = commands.add_parser("info", help="show what a module file holds, also one of another project")
    info.add_argument("file", type=Path, help="a module file, NAME.safetensors; or NAME.pth, as import takes it")
    _add_concepts(info)
    info.set_defaults(run=_info)
    _add_exchange(commands)
    return parser


def _add_exchange(commands: argparse._SubParsersAction[_Parser]) -> None:
    replace = "replace what is there"
    read = commands.add_parser(
        "import", help="convert another project's file to a module", epilog=examples.IMPORT, formatter_class=_plain
    )
    read.add_argument("file", type=Path, help="NAME.pth or NAME.pt, as the project released it")
    _add_concepts(read)
    read.add_argument("--base", help="what it was trained on: sd15 or sdxl; default: as in the paper")
    read.add_argument("--only", nargs="+", metavar="NAME", help="the concepts to take; default: all that were trained")
    read.add_argument("--out", required=True, type=Path, help="the module file to write, NAME.safetensors")
    read.add_argument("--overwrite", action="store_true", help=replace)
    read.set_defaults(run=_import)
    write = commands.add_parser("export", help="convert a module to another project's file")
    write.add_argument("file", type=Path, help="a module file, NAME.safetensors")
    write.add_argument("--to", required=True, metavar="FORMAT", help="respodiff, sdisc or where")
    write.add_argument("--out", required=True, type=Path, help="the file to write, NAME.pth; the concepts: NAME.json")
    write.add_argument("--overwrite", action="store_true", help=replace)
    write.set_defaults(run=_export)


def _add_concepts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--concepts", type=Path, metavar="FILE", help="the concept_dict.json; default: the paper's list"
    )


def _add_train_options(train: argparse.ArgumentParser) -> None:
    add = train.add_argument
    presets, recipes = (", ".join(_names(folder)) for folder in ("presets", "recipes"))
    add("--preset", required=True, help=f"what to train: {presets}; or the path of your own .toml file")
    add("--checkpoint", required=True, type=Path, help="a full SD 1.x, 2.x, SDXL or similar checkpoint")
    add("--out", required=True, type=Path, help="the module file to write, NAME.safetensors")
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
    add("--compile", action="store_true", help="compile the network first; takes minutes, worth it for long runs")
    _add_saving_options(train)
    again = train.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="continue an existing run, if there is one")
    again.add_argument("--overwrite", action="store_true", help="replace an existing module and run")


def _add_evaluate_options(evaluate: argparse.ArgumentParser) -> None:
    add = evaluate.add_argument
    add(
        "--protocol",
        required=True,
        choices=("winobias", "emoji", "i2p"),
        help="which prompts to draw, and what to measure",
    )
    add("--checkpoint", required=True, type=Path, help="a full SD 1.x, 2.x, SDXL or similar checkpoint")
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


def _add_audit_options(audit: argparse.ArgumentParser) -> None:
    add = audit.add_argument
    add("folder", nargs="?", type=Path, help="the pictures; without it, only say how many of them the test needs")
    add("--out", type=Path, metavar="FOLDER", help="for the page and the figures")
    add("--judge", default="faces", metavar="NAME", help="default: faces; or any that evaluate takes")
    what = "'woman 1, man 1': the wanted shares; repeat it for other attributes; default: that, if the judge knows both"
    add("--target", action="append", metavar="SHARES", help=what)
    how = "how far each share may be away from its target; default: 0.1, 10 percentage points"
    add("--tolerance", type=float, default=0.1, metavar="X", help=how)
    add("--show", type=int, default=0, metavar="N", help="small copies of N pictures of each label; default: 0, none")


def _add_saving_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--save-every", type=int, default=100, metavar="N", help="steps between saves; default: 100")
    parser.add_argument(
        "--preview-every", type=int, default=100, metavar="N", help="steps between previews, 0: none; default: 100"
    )


def _plain(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=100)


def _names(folder: str) -> list[str]:
    return sorted(path.stem for path in (_FOLDER / folder).glob("*.toml"))


def _train(options: argparse.Namespace) -> int:
    from .cli.train import train  # imported here, because `info` works without pydantic

    return train(options)


def _resume(options: argparse.Namespace) -> int:
    from .cli.train import resume

    return resume(options)


def _evaluate(options: argparse.Namespace) -> int:
    from .cli.evaluate import run

    return run(options)


def _audit(options: argparse.Namespace) -> int:
    from .cli.audit import run

    return run(options)


def _info(options: argparse.Namespace) -> int:
    if options.file.suffix.lower() in FOREIGN:
        say(describe_foreign(options.file, options.concepts))
    else:
        say(describe(load_attribute(options.file)))
    return 0


def _import(options: argparse.Namespace) -> int:
    say(import_file(options))
    return 0


def _export(options: argparse.Namespace) -> int:
    say(export_file(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
