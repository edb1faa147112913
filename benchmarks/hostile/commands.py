"""What is typed at a terminal: each command's files, and words of any kind to each command.

tests/core/test_hostile_files.py finds a command or an option for a file that is not in tests/corpus/commands.json.
"""

from __future__ import annotations

import contextlib
import io
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

from benchmarks.comfy_server import ServerError
from benchmarks.demo.__main__ import main as demo
from respo_train.__main__ import main
from respo_train.core.errors import RespoError
from respo_train.core.files.header import opened
from respo_train.core.shown import printable
from setup_steps import commands
from setup_steps.report import SetupError

from .corpus import CLIP, GOOD_ARCHIVE, corpus

Run = Callable[[list[str]], int]
# Command and option -> kinds of files, the words, and what is said once the file was read: the next thing is amiss.
FILES: dict[str, tuple[list[str], str, str]] = corpus("commands")["files"]
_PREPARED = "all words were understood"
# What is said where all words were in order.
_REACHED = (_PREPARED, "give the model", "no saved run", "cannot read", "no checkpoint at")


def give_file(option: str, path: Path) -> None:
    """Give a file to the command and option of FILES. Raises as `_run`."""
    _, words, then = FILES[option]
    made = path.with_name(f"{path.stem}.made")
    places = {"FILE": path, "FOLDER": path.parent, "GOOD": path.parents[1] / GOOD_ARCHIVE, "CLIP": CLIP}
    places |= {"OUT": Path(f"{made}.safetensors"), "OTHER": Path(f"{made}.pth"), "RUN": made / "run.safetensors"}
    if "RUN" in words:
        state = made / "run.training" / "state.respo"
        state.parent.mkdir(parents=True, exist_ok=True)
        state.unlink(missing_ok=True)
        state.symlink_to(path)
    _run(main, [str(places.get(word, word.replace("_", " "))) for word in words.split()], then)


def give_words(command: str, path: Path) -> None:
    """Give the lines of a file to a command as a terminal's words: any bytes but 0, 128 kB. Raises as `_run`."""
    program, *name = command.split()
    with opened(path) as file:
        text = file.read(2**17).replace(b"\0", b"").decode(errors="surrogateescape")
    programs: dict[str, Run] = {"respo_train": main, "run.py": _script, "demo": _demo}
    _run(programs[program], [*name, *(text.split("\n") if text else [])], *_REACHED)


def _run(program: Run, words: list[str], *then: str) -> None:
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


def _script(words: Sequence[str]) -> int:
    """Run run.py as far as it installs, builds or starts something."""
    stop = mock.Mock(side_effect=SetupError(_PREPARED))
    with mock.patch.multiple(commands, prepare=stop, build_archive=stop):
        return commands.main([*map(printable, words)])  # argparse shows them as they are


def _demo(words: Sequence[str]) -> int:
    stop = mock.Mock(side_effect=ServerError(_PREPARED))
    with (
        mock.patch("benchmarks.demo.__main__.ComfyServer", stop),
        mock.patch("sys.argv", ["demo", *map(printable, words)]),
    ):
        return demo()
