"""What is typed at a terminal: each command's files, and words of any kind to each command.

tests/core/test_hostile_files.py finds a command or an option for a file that is not here.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn
from unittest import mock

from benchmarks.comfy_server import ServerError
from benchmarks.demo.__main__ import main as demo
from respo_train.__main__ import _parser, main
from respo_train.core.errors import RespoError
from respo_train.core.files.header import opened
from respo_train.core.shown import printable
from setup_steps import commands
from setup_steps.report import SetupError

from .explore import CORPUS

Run = Callable[[Sequence[str]], int]
_PREPARED = "all words were understood"
# What is said where all words were in order.
_REACHED = (_PREPARED, "give the model", "no saved run", "cannot read", "no checkpoint at")
_EVALUATE = "evaluate --protocol winobias --checkpoint GOOD --out OUT"
# Command and option -> kinds of files, the words, and what is said once the file was read: the next thing is amiss.
FILES = {
    "train --preset": (("preset",), "train --preset FILE --out OUT", "give the model"),
    "plan --preset": (("preset",), "plan --preset FILE", "give the model"),
    "plan --checkpoint": (("module", "judge"), "plan --preset gender --checkpoint FILE", "does not know"),
    "resume file": (("state", "module"), "resume RUN", "attribute: expected this entry"),
    "evaluate --module": (("module",), f"{_EVALUATE} --module FILE --judge nowhere", "'nowhere'"),
    "evaluate --judge-prompts": (
        ("judge prompts",),
        f"{_EVALUATE} --judge CLIP --judge-prompts FILE --segmenter nowhere",
        "nowhere",
    ),
    "evaluate --segmenter": (("segmenter",), f"{_EVALUATE} --judge emoji_world --segmenter FILE", "good.pth"),
    "audit folder": (("picture", "sheet"), "audit FOLDER --out OUT --judge emoji_world", ""),
    "info file": (("module", "archive"), "info FILE", ""),
    "info --concepts": (("concepts",), "info GOOD --concepts FILE", ""),
    "import file": (("archive",), "import FILE --out OUT --overwrite", ""),
    "import --concepts": (("concepts",), "import GOOD --concepts FILE --out OUT --overwrite", ""),
    "export file": (("module",), "export FILE --to respodiff --out OTHER --overwrite", ""),
}


def subcommands() -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of `python -m respo_train`'s commands."""
    actions = _parser()._actions
    return next(dict(one.choices) for one in actions if isinstance(one, argparse._SubParsersAction))


def given_file(option: str, good: str) -> Callable[[Path], None]:
    """Return what gives a file to the command and option of FILES. `good`: an archive beside its folder."""
    _, words, then = FILES[option]

    def read(path: Path) -> None:
        made = path.with_name(f"{path.stem}.made")
        places: dict[str, object] = {
            "FILE": path,
            "FOLDER": path.parent,
            "GOOD": path.parents[1] / good,
            "CLIP": CORPUS / "clip",
        }
        places |= {"OUT": f"{made}.safetensors", "OTHER": f"{made}.pth", "RUN": made / "run.safetensors"}
        if "RUN" in words:
            state = made / "run.training" / "state.respo"
            state.parent.mkdir(parents=True, exist_ok=True)
            state.unlink(missing_ok=True)
            state.symlink_to(path)
        run(main, [str(places.get(word, word.replace("_", " "))) for word in words.split()], then)

    return read


def given_words() -> dict[str, Callable[[Path], None]]:
    """Return, by the command, what gives it the lines of a file as its words."""
    programs: dict[str, Run] = {f"respo_train {name}": partial(_command, main, name) for name in subcommands()}
    programs |= {f"run.py {name}": partial(_command, _run_script, name) for name in commands.COMMANDS}
    programs |= {"the demo": _demo, "run.py": _run_script, "respo_train": main}

    def reader(program: Run) -> Callable[[Path], None]:
        return lambda path: run(program, _lines(path), *_REACHED)

    return {name: reader(program) for name, program in programs.items()}


def _command(program: Run, name: str, more: Sequence[str]) -> int:
    return program([name, *more])


def _lines(path: Path) -> list[str]:
    """Return a file's lines as a terminal's words: any bytes but 0, at most 128 kB."""
    with opened(path) as file:
        text = file.read(2**17).replace(b"\0", b"").decode(errors="surrogateescape")
    return text.split("\n") if text else []


def run(program: Run, words: Sequence[str], *then: str) -> None:
    """Run a command. Raises RespoError for one that ends in a message; AssertionError for any other end.

    `then`: one of them is in the message of a command that got as far as it can here.
    """
    status: object
    said, before = io.StringIO(), signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = program(words)
    except SystemExit as end:
        status = end.code
    finally:
        signal.signal(signal.SIGTERM, before)
    text = said.getvalue().replace("\r", "\n")  # of a bar of progress
    assert status in (0, 1, 2), status
    assert "Traceback" not in text, text
    assert printable(text) == text, repr(text)[:1000]
    if status == 2 and not any(one and one in text for one in then):
        assert text.strip(), "ended without a word"
        raise RespoError(text)


def _stop(*_: object, **__: object) -> NoReturn:
    raise SetupError(_PREPARED)


def _run_script(words: Sequence[str]) -> int:
    """Run run.py as far as it installs, builds or starts something."""
    with mock.patch.multiple(commands, prepare=_stop, build_archive=_stop):
        return commands.main([printable(word) for word in words])  # argparse shows them as they are


def _demo(words: Sequence[str]) -> int:
    stopped = mock.Mock(side_effect=ServerError(_PREPARED))
    with (
        mock.patch("benchmarks.demo.__main__.ComfyServer", stopped),
        mock.patch("sys.argv", ["demo", *map(printable, words)]),
    ):
        return demo()
