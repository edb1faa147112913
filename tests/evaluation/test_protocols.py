"""The protocols as data, I2P's file, and what may be wrong with either."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from evaluation.toy_world import gender, module, safety
from PIL import Image

from emoji_world import world
from respo_train.core.errors import RespoError
from respo_train.evaluation.i2p import read_prompts
from respo_train.evaluation.protocol import NAMES, read_protocol
from respo_train.evaluation.real import read_real
from respo_train.evaluation.steering import Steering

HEADER = (
    "prompt,categories,hard,inappropriate_percentage,nudity_percentage,q16_percentage,sd_safety_percentage,"
    "prompt_toxicity,lexica_url,sd_seed,sd_guidance_scale,sd_image_width,sd_image_height,sd_model"
)


def test_emoji_is_emoji_world() -> None:
    data = read_protocol("emoji").data
    assert data["groups"]["professions"]["names"] == [p.word for p in world.PROFESSIONS]
    assert data["groups"]["professions"]["held_out"] == [p.word for p in world.PROFESSIONS if p.held_out]
    assert data["groups"]["subjects"]["names"] == list(world.SUBJECTS)
    attributes = read_protocol("emoji").attributes
    assert attributes == {"gender": world.GENDERS, "skin": tuple(world.SKIN_GROUPS)}
    assert f"a photo of {{a}} {{group}} {world.SCENES['night']}" in data["sets"][1]["templates"]


def test_winobias_has_36_professions_and_5_templates_twice() -> None:
    asks = read_protocol("winobias").asks(30, 0, ["woman", "man"], ["fairness"])
    assert Counter(ask.part for ask in asks) == {"neutral": 180, "plus": 180}
    assert len({ask.group for ask in asks}) == 36
    prompts = [ask.prompt for ask in asks]
    assert {"Image of an attendant", "Headshot of a CEO", "Portrait of a successful construction worker"} <= set(
        prompts
    )
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize("name", NAMES[:2])
def test_no_two_pictures_share_a_seed(name: str) -> None:
    asks = read_protocol(name).asks(10_000, 0, ["woman", "man", "light", "medium", "dark"], ["fairness", "safety"])
    ranges = sorted((ask.seed, ask.seed + ask.count) for ask in asks)
    assert all(first[1] <= second[0] for first, second in pairwise(ranges))


def test_seeds_do_not_depend_on_the_number_of_pictures() -> None:
    few, many = (read_protocol("emoji").asks(n, 5, ["woman"], ["fairness"]) for n in (1, 500))
    assert [(ask.prompt, ask.seed) for ask in few] == [(ask.prompt, ask.seed) for ask in many]


def test_sets_are_drawn_where_they_say_something() -> None:
    protocol = read_protocol("emoji")

    def parts(*modules: object) -> list[str]:
        steering = Steering(modules)
        return [part.name for part in protocol.parts(steering.concepts(), steering.purposes())]

    assert parts() == ["neutral"]
    assert parts(safety()) == ["neutral", "night", "nobody"]
    assert parts(gender()) == ["neutral", "explicit", "nobody"]
    assert parts(module("age", "young", "old")) == ["neutral", "nobody"]
    asks = protocol.asks(30, 0, ["woman", "man"], ["fairness"])
    assert {ask.states for ask in asks if ask.part == "explicit"} == {"woman", "man"}
    assert {ask.count for ask in asks if ask.part == "explicit"} == {6}


def write(path: Path, *rows: str, header: str = HEADER, start: str = "") -> Path:
    path.write_text(start + "\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_reads_the_published_format(tmp_path: Path) -> None:
    row = (
        '"a night, dark and ""loud""","hate, violence",1,50,10,60,30,0.2,https://example.org,2219455182,7.5,512,512,SD'
    )
    path = write(tmp_path / "i2p.csv", row, "a hill,shocking,0,0,0,0,0,0,,5,9,512,768,SD", start="\ufeff")
    first, second = read_prompts(path, 5, 1)
    assert (first.prompt, first.group, first.seed, first.count) == (
        'a night, dark and "loud"',
        "hate, violence",
        2219455183,
        5,
    )
    assert (second.guidance, second.group) == (9.0, "shocking")


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("text,label", ["a,b"], r"expected the columns prompt, categories, sd_seed, .*found: text, label"),
        ("", [], "found: none"),
        (HEADER, [], "the header alone"),
        (
            HEADER,
            ["a hill,shocking,0,0,0,0,0,0,,five,9,512,768,SD"],
            "row 1 of i2p.csv, found 'a hill', 'five' and '9'",
        ),
        (HEADER, ["a hill,shocking,0,0,0,0,0,0,,5,nan,512,768,SD"], "row 1"),
        (HEADER, ["a hill,shocking,0,0,0,0,0,0,,1e999,7,512,768,SD"], "row 1"),
        (HEADER, [" ,shocking,0,0,0,0,0,0,,5,9,512,768,SD"], "expected a prompt"),
        (HEADER, ["a hill,shocking"], "row 1"),
    ],
)
def test_refuses_another_format(tmp_path: Path, header: str, rows: list[str], message: str) -> None:
    with pytest.raises(RespoError, match=message):
        read_prompts(write(tmp_path / "i2p.csv", *rows, header=header), 1, 0)


def test_refuses_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "i2p.csv").write_bytes(b"\xff\xfe\x00prompt")
    for path in (tmp_path / "i2p.csv", tmp_path / "none.csv", tmp_path):
        with pytest.raises(RespoError, match="cannot read the CSV"):
            read_prompts(path, 1, 0)


def test_real_pictures(tmp_path: Path) -> None:
    for number, size in enumerate([(40, 20), (20, 40), (30, 30)]):
        Image.new("RGB", size, (10 * number, 0, 0)).save(tmp_path / f"{number}.png")
    found = read_real(tmp_path, (16, 24))
    assert [one.images.shape for one in found] == [(1, 16, 24, 3)] * 3
    np.save(tmp_path / "real.npy", np.zeros((3, 8, 8, 3), np.uint8))
    assert read_real(tmp_path / "real.npy", (16, 24))[0].images.shape == (3, 8, 8, 3)
    np.save(tmp_path / "wrong.npy", np.zeros((3, 8, 8)))
    with pytest.raises(RespoError, match=r"expected bytes .* found float64 \[3, 8, 8\]"):
        read_real(tmp_path / "wrong.npy", (16, 24))
    (tmp_path / "empty.npy").touch()
    with pytest.raises(RespoError, match=r"cannot read real pictures from .*empty\.npy"):
        read_real(tmp_path / "empty.npy", (16, 24))
    (tmp_path / "4.png").write_bytes(b"not a picture")
    with pytest.raises(RespoError, match=r"cannot read the picture .*4\.png"):
        read_real(tmp_path, (16, 24))
    with pytest.raises(RespoError, match="found nothing at"):
        read_real(tmp_path / "nowhere", (16, 24))
