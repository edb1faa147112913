"""Whatever the trainer and the evaluation write, they read back: sheets, pictures kept on the way, cells, states."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from respo_train.core.errors import RespoError
from respo_train.evaluation.cells import Cell, Store
from respo_train.evaluation.protocol import Ask
from respo_train.latents import pictures
from respo_train.report.sheet import Sheet
from respo_train.resume import Identity, check_identity, read_saved, save_state
from respo_train.trainer import TrainState

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
quick = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(st.tuples(*[st.integers(1, 3)] * 3, st.integers(1, 20), st.integers(1, 20)), st.data())
def test_sheets(tmp_path: Path, shape: tuple[int, ...], data: st.DataObject) -> None:
    prompts, columns = (tuple(data.draw(st.lists(TEXT, min_size=n, max_size=n))) for n in shape[:2])
    drawn = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    sheet = Sheet(data.draw(TEXT), data.draw(TEXT), data.draw(st.integers(0, 10**6)), prompts, columns, drawn)
    assert sheet.fits()
    sheet.save(tmp_path / "a.png")
    found = Sheet.load(tmp_path / "a.png")
    assert found is not None
    assert (found.run, found.title, found.step, found.prompts, found.columns) == (
        sheet.run,
        sheet.title,
        sheet.step,
        sheet.prompts,
        sheet.columns,
    )
    assert np.array_equal(found.pictures, sheet.pictures)


def test_a_sheet_that_nobody_would_read_is_known_before(tmp_path: Path) -> None:
    wide = np.broadcast_to(np.zeros((1, 1, 1, 1, 1, 1), np.uint8), (8, 200, 2, 256, 256, 3))
    assert not Sheet("run", "title", 1, ("p",) * 8, ("c",) * 200, wide).fits()
    assert not Sheet("run", "title", 1, ("p" * 2**20,), ("c",), wide[:1, :1]).fits()
    Image.new("1", (20_000, 10_000)).save(tmp_path / "bomb.png")
    assert Sheet.load(tmp_path / "bomb.png") is None


@quick
@given(st.tuples(*[st.integers(1, 5)] * 4), TEXT)
def test_pictures_kept_on_the_way(tmp_path: Path, shape: tuple[int, ...], signature: str) -> None:
    latents = torch.randn(shape).half()
    pictures._write(tmp_path / "a.respo", latents, signature)
    found = pictures._read(tmp_path / "a.respo", signature)
    assert found is not None
    assert torch.equal(found, latents)
    assert pictures._read(tmp_path / "a.respo", signature + "x") is None


@quick
@given(st.integers(1, 4), st.dictionaries(TEXT, TEXT | st.floats(allow_nan=False) | st.tuples(TEXT), max_size=3))
def test_cells(tmp_path: Path, count: int, about: dict[str, object]) -> None:
    store, cell = Store(tmp_path), Cell(Ask("a", "b", "c", 0, count), 0, count, about, None)
    drawn = np.random.default_rng(0).integers(0, 256, (count, 3, 4, 3), np.uint8)
    store.save(cell, drawn)
    assert store.state(cell) == "good"
    assert np.array_equal(store.load(cell)[:], drawn)


@pytest.mark.parametrize(
    ("prompt", "checkpoint", "fits"),
    [
        ("a doctor", "toy.safetensors", True),
        ("é" * 2**20, "toy.safetensors", False),
        ("a doctor", os.fsdecode(b"\xff.safetensors"), False),
    ],
)
def test_states(tmp_path: Path, prompt: str, checkpoint: str, fits: bool) -> None:
    identity = Identity({"prompt": prompt}, {"name": "toy", "sha256": "0" * 64}, {}, {}, checkpoint)
    path, state = tmp_path / "state.respo", TrainState(3, {})
    if fits:
        check_identity(identity)
        save_state(path, state, identity)
        assert read_saved(path).identity == identity
    else:
        refused = r"cannot be saved, as it could not be read again: .*(1048576|utf-8)"
        with pytest.raises(RespoError, match=refused):
            check_identity(identity)
        with pytest.raises(RespoError, match=refused):
            save_state(path, state, identity)
        assert list(tmp_path.iterdir()) == []
