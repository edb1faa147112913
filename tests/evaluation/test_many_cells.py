"""An evaluation keeps no file open, however many cells it has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from respo_train.core.errors import RespoError
from respo_train.evaluation.cells import Cell, Store
from respo_train.evaluation.drawn import to_tensor
from respo_train.evaluation.protocol import Ask

ROOT = Path(__file__).resolve().parents[2]
CELLS = 400
FEW_FILES = f"""
import resource, runpy
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
runpy.run_path({str(ROOT / "tests" / "evaluation" / "toy_world.py")!r}, run_name="__main__")
"""


def cell(number: int) -> Cell:
    ask = Ask("work", "doctor", f"prompt {number}", 10 * number, 3)
    return Cell(ask, 0, 3, {"seed": ask.seed}, None)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux counts open files like this")
def test_no_file_stays_open(tmp_path: Path) -> None:
    store, before = Store(tmp_path), len(os.listdir("/proc/self/fd"))
    drawn = np.random.default_rng(0).integers(0, 256, (CELLS, 3, 4, 5, 3), np.uint8)
    for number, pictures in enumerate(drawn):
        store.save(cell(number), pictures)
    found = [cell(number).ask.drawn(store.load(cell(number))) for number in range(CELLS)]
    seen = [to_tensor(one.images) for one in found]
    assert len(os.listdir("/proc/self/fd")) == before
    assert all(np.array_equal(one.images, own) for one, own in zip(found, drawn, strict=True))
    assert all(np.array_equal(one.images[1:2], own[1:2]) for one, own in zip(found, drawn, strict=True))
    assert [len(own) for own in found[0].images] == [4] * 3  # row by row, as an array
    assert seen[7].shape == (3, 3, 4, 5)


def test_pictures_that_were_taken_away(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save(cell(0), np.zeros((3, 4, 5, 3), np.uint8))
    found = store.load(cell(0))
    for path in tmp_path.glob("*.npy"):
        path.unlink()
    with pytest.raises(RespoError, match="Run it again to draw them anew"):
        found[:]
    with pytest.raises(RespoError, match="Run it again to draw them anew"):
        store.load(cell(0))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_whole_evaluation_with_few_files(tmp_path: Path) -> None:
    """300 cells, and at most 128 files open."""
    rows = [f"a hill {number},shocking,{number},5" for number in range(300)]
    (tmp_path / "i2p.csv").write_text("\n".join(["prompt,categories,sd_seed,sd_guidance_scale", *rows]))
    (tmp_path / "toy.safetensors").write_bytes(b"toy")
    given = ["--protocol", "i2p", "--csv", "i2p.csv", "--images", "1", "--steps", "1", "--judge", "emoji world"]
    command = [sys.executable, "-c", FEW_FILES, "evaluate", "--checkpoint", "toy.safetensors", "--out", "out", *given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[-500:] * done.returncode) == (0, "")
    assert len(list((tmp_path / "out" / "cells").glob("*.npy"))) == 300
    assert (tmp_path / "out" / "results.json").is_file()
