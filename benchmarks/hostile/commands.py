"""What is typed at a terminal: each command's files, and words of any kind to each command.

tests/core/test_hostile_files.py finds a command or an option for a file that is not in tests/corpus/commands.json.
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

from .corpus import CLIP, GOOD_ARCHIVE, corpus

Run = Callable[[Sequence[str]], int]
# Command and option -> kinds of files, the words, and what is said once the file was read: the next thing is amiss.
FILES: dict[str, tuple[list[str], str, str]] = corpus("commands")["files"]
_PREPARED = "all words were understood"
# What is said where all words were in order.
_REACHED = (_PREPARED, "give the model", "no saved run", "cannot read", "no checkpoint at")


def subcommands() -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of `python -m respo_train`'s commands."""
    actions = _parser()._actions
    return next(dict(one.choices) for one in actions if isinstance(one, argparse._SubParsersAction))


def give_file(option: str, path: Path) -> None:
    """Give a file to the command and option of FILES. Raises as `run`."""
    _, words, then = FILES[option]
    made = path.with_name(f"{path.stem}.made")
    places = {"FILE": path, "FOLDER": path.parent, "GOOD": path.parents[1] / GOOD_ARCHIVE, "CLIP": CLIP}
    places |= {"OUT": made.with_name(f"{made.name}.safetensors"), "OTHER": made.with_name(f"{made.name}.pth")}
    if "RUN" in words:
        places["RUN"], state = made / "run.safetensors", made / "run.training" / "state.respo"
        state.parent.mkdir(parents=True, exist_ok=True)
        state.unlink(missing_ok=True)
        state.symlink_to(path)
    run(main, [str(places.get(word, word.replace("_", " "))) for word in words.split()], then)


def give_words(program: Run, name: str, path: Path) -> None:
    """Give the lines of a file to a program's command as a terminal's words: any bytes but 0, 128 kB."""
    with opened(path) as file:
        text = file.read(2**17).replace(b"\0", b"").decode(errors="surrogateescape")
    run(program, [*filter(None, [name]), *(text.split("\n") if text else [])], *_REACHED)


def all_words() -> dict[str, Callable[[Path], None]]:
    """Return, by the command, what gives words to it."""
    programs: dict[str, tuple[Run, str]] = {"the demo": (_demo, ""), "run.py": (_script, ""), "respo_train": (main, "")}
    programs |= {f"respo_train {name}": (main, name) for name in subcommands()}
    programs |= {f"run.py {name}": (_script, name) for name in commands.COMMANDS}
    return {name: partial(give_words, *program) for name, program in programs.items()}


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


def _script(words: Sequence[str]) -> int:
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
