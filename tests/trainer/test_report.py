from __future__ import annotations

import contextlib
import html
import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from torch import Tensor
from toy_unet import ToyUNet

from respo_train.core.errors import RespoError
from respo_train.core.files.checkpoint import file_sha256, save_attribute
from respo_train.network import Encoded, SplitNetwork
from respo_train.provenance import Base, attribute_of
from respo_train.report import Report
from respo_train.report.effect import Effect
from respo_train.report.plots import Chart, Line, chart_svgs, effect_charts, loss_charts, save_loss_plot, smooth
from respo_train.settings.config import TrainConfig
from respo_train.settings.preset_files import read_config
from respo_train.trainer import Losses, TrainState, train

BASE = Base("toy.safetensors", "0" * 64)
VOID = {"meta", "img", "br", "link", "input"}
NO_MAP = {"map_width": None, "map_lr": None}  # the constant alone decides how far a concept goes


def config(**changes: Any) -> TrainConfig:
    return read_config("gender", {"batch": 2, "trajectory_steps": 8, "steps": 6, **changes})


class Stop(Exception):
    pass


def run(
    settings: TrainConfig,
    folder: Path,
    every: int = 2,
    *,
    stop_at: int | None = None,
    unet: SplitNetwork | None = None,
    base: Base = BASE,
) -> str:
    """Train with a report, as the job does it; return the page."""
    unet = unet or ToyUNet()
    out, seen = folder / "gender.safetensors", []
    report = Report(settings, unet, base, out, every)

    def after_step(state: TrainState) -> None:
        seen.append(state)
        report.after_step(state)
        if state.step == stop_at:
            raise Stop

    with contextlib.suppress(Stop):
        train(settings, unet, after_step)
    save_attribute(out, attribute_of(settings, unet, base, seen[-1]))
    report.finish(seen[-1])
    return (folder / "gender.html").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Checks that every tag is closed; gathers what a browser would fetch, the images' texts, and all words."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.images: list[str] = []
        self.words = ""
        self.tags: set[str] = set()
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.fetched += [values[key] or "" for key in ("src", "href", "srcset", "data", "action") if key in values]
        if tag == "img":
            self.images.append(values["alt"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for key, value in attrs if key in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += " " + " ".join(data.split())


def test_a_finished_run(tmp_path: Path) -> None:
    page = run(config(), tmp_path)
    folder = tmp_path / "gender.training"
    found = sorted(path.name for path in folder.iterdir())
    assert found == ["effects.json", "losses.png", *(f"preview-{step:06d}.png" for step in (2, 4, 6))]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gender.html", "gender.safetensors", "gender.training"]
    reader = Reader(page)
    assert "Finished after 6 steps" in reader.words
    assert "resume gender.safetensors --steps 12" in reader.words
    # Two whole grids; for two concepts two rows of: before, and three steps.
    assert len(reader.images) == 2 * 4 * 3 * 2 + 2 * 2 * 4
    assert "woman: a photo of a doctor, step 4" in reader.images
    assert "man: a photo of a teacher" in reader.images
    assert "The first preview, after step 2" in reader.words
    for words in ("Drawn after step 6", "target_guidance", "toy.safetensors", "0" * 64, "torch"):
        assert words in reader.words
    assert file_sha256(tmp_path / "gender.safetensors") in reader.words
    assert page.count("<svg") == 3 + 2


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    page = run(config(), tmp_path)
    reader = Reader(page)
    assert all(address.startswith(("data:image/", "#")) for address in reader.fetched)
    assert not reader.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"@import|url\((?!#)|\son\w+=|@font-face", page)
    for address in re.findall(r"""["'(](https?:[^"')]*)""", page):
        assert address.startswith("http://www.w3.org/")  # a name, never fetched
    assert str(tmp_path) not in page


def test_an_interrupted_run_says_how_to_go_on_and_draws_nothing_more(tmp_path: Path) -> None:
    class Counting(ToyUNet):
        encoders = 0

        def encoder(self, *arguments: Any) -> Encoded:
            self.encoders += 1
            return super().encoder(*arguments)

    unet, settings = Counting(), config()
    report = Report(settings, unet, BASE, tmp_path / "gender.safetensors", 2)
    states: list[TrainState] = []
    train(settings, unet, states.append)
    states[0].step = 3
    before = unet.encoders
    report.finish(states[0])
    assert unet.encoders == before
    words = Reader((tmp_path / "gender.html").read_text(encoding="utf-8")).words
    assert "Stopped at step 3 of 6." in words
    assert "python -m respo_train resume gender.safetensors " in words
    assert "There are no previews" in words


def test_a_resumed_run_shows_what_was_seen_before(tmp_path: Path) -> None:
    run(config(), tmp_path, stop_at=5)
    assert "step 2" in Reader((tmp_path / "gender.html").read_text(encoding="utf-8")).images[-2]
    for step in (2, 4):
        (tmp_path / "gender.training" / f"preview-{step:06d}.png").rename(tmp_path / f"{step}.png")
    old = json.loads((tmp_path / "gender.training" / "effects.json").read_text())
    page = run(config(steps=8), tmp_path, 8)  # as if it had gone on from step 5
    assert "step 2" not in page
    for step in (2, 4):
        (tmp_path / f"{step}.png").rename(tmp_path / "gender.training" / f"preview-{step:06d}.png")
    assert "woman: a photo of a doctor, step 2" in Reader(run(config(steps=8), tmp_path, 8)).images
    new = json.loads((tmp_path / "gender.training" / "effects.json").read_text())
    assert new["steps"]["2"] == old["steps"]["2"]
    assert set(new["steps"]) == {"2", "4", "8"}


def test_pictures_of_another_run_or_of_steps_that_were_lost_are_not_shown(tmp_path: Path) -> None:
    run(config(seed=1), tmp_path, 1)
    images = Reader(run(config(seed=2), tmp_path, 3)).images
    assert {text.rsplit(", ", 1)[1] for text in images if ", " in text} == {"before", "step 3", "step 6"}
    assert set(json.loads((tmp_path / "gender.training" / "effects.json").read_text())["steps"]) == {"3", "6"}
    # Killed after step 6, but saved at step 4: its later pictures are still to come.
    images = Reader(run(config(seed=2), tmp_path, 4, stop_at=4)).images
    assert {text.rsplit(", ", 1)[1] for text in images if ", " in text} == {"before", "step 3", "step 4"}


def test_every_word_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert("1")</script> & <b>'
    own = {"woman": {"target": evil}, "man": {"target": "a man"}}
    settings = config(neutral=evil, preview=[evil, "plain"], licence=evil, concepts=own)
    page = run(settings, tmp_path, base=Base(f"{evil}.safetensors", evil))
    reader = Reader(page)
    assert not reader.tags & {"script"}
    assert "<script" not in page
    assert html.escape(evil, quote=False).replace('"', "&#34;") in page
    assert f"woman: {evil}" in reader.images


def test_every_entry_has_its_own_tables_meaning(tmp_path: Path) -> None:
    probe = {"nobody": ["a dog", "a cup"], "places": ["in a kitchen"]}
    page = run(config(probe=probe), tmp_path, 0)
    rows = re.findall(r'<th scope="row">(.*?)</th><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td>', page, re.DOTALL)
    said = {
        key: (html.unescape(value), html.unescape(re.sub("</?small>", "", meaning))) for key, value, meaning in rows
    }
    assert said["probe.nobody"] == ("a dog\na cup", 'prompts without a person, "a dog"')
    assert said["where.tau"] == ("0.5", "threshold of chi")
    assert said["concepts.woman.target"] == ("a woman", 'fairness: the prompt to steer to, "a woman"')
    assert said["lambda"][1] == "higher: closer to the neutral picture"


def test_no_previews_when_none_are_asked_for(tmp_path: Path) -> None:
    words = Reader(run(config(), tmp_path, 0)).words
    assert sorted(path.name for path in (tmp_path / "gender.training").iterdir()) == ["effects.json", "losses.png"]
    assert "There are no previews" in words
    assert "Measured after step 6" in words


def test_a_checkpoint_without_autoencoder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Bare(ToyUNet):
        def decode(self, latents: Tensor) -> Tensor | None:
            return None

    words = Reader(run(config(), tmp_path, 1, unet=Bare())).words
    said = [record.getMessage() for record in caplog.records if "autoencoder" in record.getMessage()]
    assert said == ["no previews: this checkpoint has no autoencoder (VAE) inside"]
    assert "There are no previews" in words
    assert "Measured after step 6" in words


@pytest.mark.parametrize(("rate", "verdict"), [(1e-6, "hardly any effect"), (30.0, "far too much")])
def test_warns_at_the_end_and_on_the_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rate: float, verdict: str
) -> None:
    words = Reader(run(config(responsible_lr=rate, semantic_lr=0, **NO_MAP), tmp_path)).words
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.split(": ")[0] for text in said] == ["woman", "man"]  # once each, not at every preview
    assert all(verdict in text for text in said)
    assert words.count(verdict) == 2


def test_says_that_it_has_an_effect(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one_prompt = {"train_on": "neutral", "target_from": "neutral", "target_guidance": 2.5}
    one_prompt |= {"steps": 80, "responsible_lr": 0.03, "semantic_lr": 0, **NO_MAP}
    words = Reader(run(config(**one_prompt), tmp_path, 0)).words
    assert words.count("it has an effect.") == 2
    assert re.search(r"\d\.\d\d times as far towards “a woman” as this prompt itself does", words)
    assert caplog.records == []


def test_effects_that_cannot_be_read_are_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "gender.training"
    folder.mkdir()
    for content in (b"{", b"[]", b"\xff", b'{"run": 3}'):
        (folder / "effects.json").write_bytes(content)
        assert "Measured after step 6" in Reader(run(config(), tmp_path, 0)).words


def test_heat_maps_are_shown(tmp_path: Path) -> None:
    (tmp_path / "gender.training").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "gender.training" / "heat-woman.png")
    reader = Reader(run(config(), tmp_path, 0))
    assert "Where it looks" in reader.words
    assert reader.images == ["heat-woman"]


def test_stopped_before_the_first_step(tmp_path: Path) -> None:
    report = Report(config(), ToyUNet(), BASE, tmp_path / "gender.safetensors", 2)
    report.finish(TrainState(0, {}))
    assert "Stopped at step 0 of 6." in Reader((tmp_path / "gender.html").read_text(encoding="utf-8")).words


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "gender.training").write_text("a file where the folder should be")
    report = Report(config(), ToyUNet(), BASE, tmp_path / "gender.safetensors", 2)
    with pytest.raises(RespoError, match=r"cannot make the folder .*gender\.training"):
        report.finish(TrainState(0, {}))


NAN = float("nan")


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [Losses(0.0, 0.0)],
        [Losses(0.0, 0.0)] * 9,
        [Losses(1.0, 0.0), Losses(1e-9, 2.0)],
        [Losses(1.0, 1.0)] * 30 + [Losses(NAN, 2.0)],
        [Losses(NAN, NAN)],
        [Losses(float("inf"), 1.0), Losses(1.0, 1.0)],
        [Losses(0.5, 0.1)] * 20_000,
    ],
)
@pytest.mark.filterwarnings("error")
def test_plots_whatever_there_is(tmp_path: Path, losses: list[Losses]) -> None:
    save_loss_plot(tmp_path / "plot.png", {"woman": losses, "man": losses[:-1]})
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    for chart in loss_charts({"woman": losses, "man": losses[:-1]}):
        drawn = chart_svgs([chart])[0][1]
        ElementTree.fromstring(drawn)
        assert len(drawn) < 100_000


def test_a_semantic_chart_only_where_there_is_a_semantic_part() -> None:
    with_it, without = [Losses(1.0, 0.0), Losses(1.0, 0.5)], [Losses(1.0, 0.0)] * 2
    assert [chart.title for chart in loss_charts({"a": with_it, "b": without})] == ["responsible loss", "semantic loss"]
    assert [chart.title for chart in loss_charts({"a": without})] == ["responsible loss"]


def test_a_thinned_chart_keeps_its_ends() -> None:
    losses = [Losses(float(step), 0.0) for step in range(1, 5001)]
    (chart,) = loss_charts({"a": losses})
    (line,) = chart.lines
    assert (line.x[0], line.x[-1]) == (1, 5000)
    assert line.raw is not None
    assert (line.raw[0], line.raw[-1], len(line.raw)) == (1, 5000, 600)
    assert line.y[-1] == pytest.approx(4990.5)


def test_effects_without_a_way_have_no_chart_of_it() -> None:
    effect = Effect((9, 5, 1), (0.1, 0.2, 0.3), (0.1, 0.2, 0.3), None)
    assert [chart.title for chart in effect_charts({"a": effect})] == [
        "Change of the prediction",
        "Size of the module against h",
    ]


def test_svg_takes_the_pages_colours_and_has_no_ids_that_clash() -> None:
    drawn = chart_svgs([Chart("a", "step", (Line("x", [1, 2], [1.0, -2.0]), Line("y", [1, 2], [3.0, 4.0])))])[0][1]
    assert "var(--ink)" in drawn
    assert "var(--line)" in drawn
    assert not re.search(r'id="(figure|axes|text|patch)', drawn)
    assert (
        drawn == chart_svgs([Chart("a", "step", (Line("x", [1, 2], [1.0, -2.0]), Line("y", [1, 2], [3.0, 4.0])))])[0][1]
    )
    assert "\u22122" in drawn  # negative values are on the chart


def test_smoothing_is_the_running_mean() -> None:
    assert smooth(np.array([4.0, 2.0, 0.0, 6.0]), span=2).tolist() == [4, 3, 1, 3]
    assert smooth(np.full(50, 3.0)).tolist() == [3] * 50
    assert smooth(np.array([NAN, 2.0, NAN, 6.0]), span=2).tolist()[1:] == [2, 2, 6]
