"""The command line: `python -m respo_train train ...`, `plan`, `resume`, `evaluate`, and more."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

from .cli import examples
from .cli.exchange import FOREIGN, describe_foreign, export_file, import_file
from .cli.info import describe
from .cli.messages import say, warnings_in_one_line
from .cli.model import add_model
from .cli.options import (
    add_audit_options,
    add_checkpointing,
    add_evaluate_options,
    add_saving_options,
    add_train_options,
    add_what_and_how,
)
from .cli.words import OPTIONS
from .core.errors import RespoError
from .core.files.checkpoint import load_attribute


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, like every other error here."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse "--steps=--": argparse before Python 3.13 returns an empty list for it, whatever the type."""
        for argument in sys.argv[1:] if args is None else args:
            if argument.endswith("=--"):
                self.error(f"argument {argument[:-3]}: expected one argument, found --")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        say(f"respo_train: {message} (see {self.prog} --help)", sys.stderr)
        self.exit(2)


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
        what, check = f"use {error.filename}", "its name and its rights"
        if error.filename is None:  # no file, but the folder that it runs in is gone, or the like
            what, check = "go on", "that the folder you are in is still there"
        say(f"{name}: cannot {what}: {error.strerror or error}. Check {check}.", sys.stderr)
        return 2
    except KeyboardInterrupt:
        say(f"{name}: stopped at once; what was saved last is intact", sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("python -m respo_train", description=examples.DESCRIPTION, formatter_class=_plain)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train = _command(commands, "train", _train, "train all concepts of an attribute on your checkpoint", examples.TRAIN)
    add_train_options(train)
    plan = _command(commands, "plan", _plan, "memory, time and disk of a training, before it starts", examples.PLAN)
    add_what_and_how(plan)
    elsewhere = 'a graphics card that is not here, "RTX 3060"; default: this machine'
    plan.add_argument("--card", metavar="NAME", help=elsewhere)
    resume = _command(commands, "resume", _resume, "continue an interrupted run, or train longer", examples.RESUME)
    resume.add_argument("file", type=Path, help="the module file, with its folder NAME.training beside it")
    add_model(resume, again="the same checkpoint, if it has been moved")
    resume.add_argument(
        "--steps", type=int, help="total number of optimizer steps, including those done; default: as before"
    )
    add_checkpointing(resume)
    add_saving_options(resume)
    evaluate = _command(
        commands, "evaluate", _evaluate, "draw with and without modules, judge, count", examples.EVALUATE
    )
    add_evaluate_options(evaluate)
    audit = _command(
        commands, "audit", _audit, "count who is in a folder of pictures, against a target", examples.AUDIT
    )
    add_audit_options(audit)
    info = _command(commands, "info", _info, "show what a module file holds, also one of another project")
    info.add_argument("file", type=Path, help="a module file, NAME.safetensors; or NAME.pth, as import takes it")
    _add_concepts(info)
    _add_exchange(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    purpose: str,
    example: str | None = None,
) -> _Parser:
    """Return the parser of a command that `run` carries out; `example` ends its help."""
    parser = commands.add_parser(name, help=purpose, epilog=example, formatter_class=_plain)
    parser.set_defaults(run=run)
    return parser


def _add_exchange(commands: argparse._SubParsersAction[_Parser]) -> None:
    replace = "replace what is there"
    read = _command(commands, "import", _import, "convert another project's file to a module", examples.IMPORT)
    read.add_argument("file", type=Path, help="NAME.pth or NAME.pt, as the project released it")
    _add_concepts(read)
    read.add_argument("--base", help="what it was trained on: sd15 or sdxl; default: as in the paper")
    read.add_argument("--only", nargs="+", metavar="NAME", help="the concepts to take; default: all that were trained")
    read.add_argument("--out", required=True, type=Path, help="the module file to write, NAME.safetensors")
    read.add_argument("--overwrite", action="store_true", help=replace)
    write = _command(commands, "export", _export, "convert a module to another project's file")
    write.add_argument("file", type=Path, help="a module file, NAME.safetensors")
    write.add_argument("--to", required=True, metavar="FORMAT", help="respodiff, sdisc or where")
    write.add_argument("--out", required=True, type=Path, help="the file to write, NAME.pth; the concepts: NAME.json")
    write.add_argument("--overwrite", action="store_true", help=replace)


def _add_concepts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--concepts", type=Path, metavar="FILE", help="the concept_dict.json; default: the paper's list"
    )


def _plain(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=100)


def _train(options: argparse.Namespace) -> int:
    from .cli.train import train  # imported here, because `info` works without pydantic

    return train(options)


def _plan(options: argparse.Namespace) -> int:
    from .cli.plan import run

    return run(options)


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
