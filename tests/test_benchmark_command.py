"""What every benchmark is run by: pictures are drawn as asked, rows are printed and written as they come."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import drawing
from benchmarks.command import Row, pictures, run, written
from respo_train.core.counting.metrics import Interval
from respo_train.core.errors import RespoError
from respo_train.evaluation.figure import Figure, nothing

RATIO = Figure(0.25, 0.125, 1 / 3, 4)


def rows(options: Namespace) -> Iterator[Row]:
    yield "Balance", {"ratio": RATIO, "lost": {"first": Interval(1.0, 0.5, 2.0), "second": nothing(0, "no pictures")}}
    if options.images == 3:
        raise RespoError("no third picture")
    yield "as it is", {"right": 1.0}


def run_with(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["one", *arguments])
    return run("one", "What it measures.", rows, {"--images": pictures(2, fewest=2)})


def test_rows_are_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--json", str(tmp_path / "figures.json")]
    assert run_with(monkeypatch, *arguments) == 0
    assert "Balance: ratio 0.25 [0.125, 0.3333], lost first 1 [0.5, 2]," in capsys.readouterr().out
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["arguments"] == arguments
    assert found["rows"]["Balance"]["ratio"] == RATIO.to_dict()
    assert found["rows"]["Balance"]["lost"]["second"]["value"] is None
    assert found["rows"]["as it is"] == {"right": 1.0}


def test_an_error_is_one_line_and_what_came_before_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(monkeypatch, "--images", "3", "--json", str(tmp_path / "figures.json")) == 2
    assert capsys.readouterr().err == "one: no third picture\n"
    assert list(json.loads((tmp_path / "figures.json").read_text())["rows"]) == ["Balance"]


@pytest.mark.parametrize("wrong", [("--images", "1"), ("--json", "no/such/x.json")])
def test_wrong_options_measure_nothing(
    wrong: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_with(monkeypatch, *wrong)
    assert f"error: argument {wrong[0]}: " in capsys.readouterr().err


def test_what_is_no_figure_is_written_as_it_is() -> None:
    assert written({"steps": 3, "minutes": "21 to 64", "reached": True}) == "steps 3, minutes 21 to 64, reached True"


def test_each_picture_is_drawn_with_the_module_of_its_concept(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def draw(unet: Any, prompt: str, key: Any, modules: Any) -> Any:
        calls.append((unet, prompt, key, modules))
        return np.zeros((len(modules), 2, 2, 3), np.uint8)

    monkeypatch.setattr(drawing, "draw", draw)
    unet, woman = object(), object()
    asks = drawing.photos(4, ("woman", "man"), ["doctor"])
    (one,) = drawing.draw_all(unet, asks, ["key"], {"woman": woman})  # type: ignore[arg-type,dict-item]
    prompt = "a photo of a doctor"
    assert sorted(one.asked) == ["man", "man", "woman", "woman"]
    assert calls == [(unet, prompt, ["key", prompt], [woman if asked == "woman" else None for asked in one.asked])]
