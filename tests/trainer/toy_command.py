"""`python toy_command.py train …`: the real command line on the toy network, for tests that need real processes.

`python toy_command.py serve` forks one such process for each line of arguments (JSON) that it reads, so that torch is
imported once: it writes the child's process id, then how the child ended (a negative number: by which signal).

TOY_SECONDS: how long a step shall take at least, so that a kill has something to hit. TOY_KILL_AT: which renaming of a
written file shall not happen any more because the process is killed. TOY_FAIL: which process of a team shall fail.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.figure  # noqa: F401 (before any fork)
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from toy_unet import ToyUNet  # noqa: E402

import respo_train.cli.train  # noqa: E402, F401 (before any fork)
import respo_train.host.load as load  # noqa: E402
from respo_train.__main__ import main  # noqa: E402
from respo_train.network import Encoded  # noqa: E402


class SlowToyUNet(ToyUNet):
    def encoder(self, *arguments: Any, **options: Any) -> Encoded:
        if os.environ.get("TOY_FAIL") == os.environ.get("RANK", "0") and len(self.seen) > 250:
            raise MemoryError("a toy's out of memory")
        return super().encoder(*arguments, **options)

    def decoder(self, encoded: Encoded, h: Tensor, *arguments: Any, **options: Any) -> Tensor:
        if h.requires_grad:  # twice a step: responsible and semantic
            time.sleep(float(os.environ.get("TOY_SECONDS", "0")) / 2)
        return super().decoder(encoded, h, *arguments, **options)

    def decode(self, latents: Tensor) -> None:
        return None  # no previews: drawing them takes longer than all the rest


def _prepare() -> None:
    torch.set_num_threads(1)
    load.load_unet = lambda *_, **__: SlowToyUNet()
    if os.environ.get("RANK", "0") != "0":
        os.replace, os.mkdir = _guarded(os.replace), _guarded(os.mkdir)
    if "TOY_KILL_AT" in os.environ:
        _kill_at(int(os.environ["TOY_KILL_AT"]))


def _guarded(original: Callable[..., None]) -> Callable[..., None]:
    """Refuse to write beside the module: only process 0 may."""
    folder = Path(sys.argv[sys.argv.index("--out") + 1]).parent

    def guarded(path: Any, *arguments: Any, **options: Any) -> None:
        assert folder not in Path(path).parents, f"only process 0 may write {path}"
        original(path, *arguments, **options)

    return guarded


def _kill_at(number: int) -> None:
    replace, left = os.replace, iter(range(number))

    def replace_or_die(*arguments: Any) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*arguments)

    os.replace = replace_or_die


def _serve() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                sys.stdout = sys.stderr
                code = main(json.loads(line))
            finally:
                os._exit(code)
        _say(pid)
        _say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _train_and_leave() -> int:
    """A thread of the team's that outlives it now and then crashes the process as it ends (exit code -6)."""
    code = main()
    names = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in names if "gloo" in name], f"the team's threads are still there: {names}"
    return code


if __name__ == "__main__":
    _prepare()
    sys.exit(_serve() if sys.argv[1:] == ["serve"] else _train_and_leave())
