"""The audit of a folder: what is read, counted, tested and written; on painted pictures and a judge that reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_judge import CLASSES, ToyJudge

from respo_train.__main__ import main
from respo_train.cli import audit as command
from respo_train.core.counting.audit import audit, possible, sentence, targets_of
from respo_train.core.counting.target import FAIL, OPEN, PASS, parse_target
from respo_train.core.errors import RespoError
from respo_train.evaluation import audit as auditing
from respo_train.evaluation import folder as folders

EVEN = parse_target("woman 1, man 1", 0.1)


def paint(path: Path, words: str, **how: Any) -> None:
    """Save a picture in which the toy's judge sees `words`, "woman dark nurse"."""
    numbers = [next((own.index(w) for w in words.split() if w in own), 255) for own in CLASSES.values()]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 9, 3), numbers, np.uint8)).save(path, **how)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two professions: 8 doctors, of whom 6 are men, and 4 nurses."""
    folder = tmp_path / "pictures"
    for number, words in enumerate(["man light"] * 6 + ["woman dark"] * 2):
        paint(folder / "doctor" / f"{number}.png", words)
    for number, words in enumerate(["woman light", "woman dark", "woman medium", "light"]):
        paint(folder / "nurse" / "deeper" / f"{number}.png", words)
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """run(folder, …) -> the command's exit code; it writes to tmp_path / "out"."""
    monkeypatch.setattr(command, "find_judge", lambda _: ToyJudge())
    return lambda *given: main(["audit", *map(str, given), "--out", str(tmp_path / "out")])


def results(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))


def test_counts_every_group(pictures: Path, run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    assert run(pictures) == 0
    told = results(tmp_path)
    gender = told["attributes"]["gender"]
    assert (told["pictures"], gender["seen"], gender["unsure"]) == (12, {"woman": 5, "man": 6}, 1)
    assert gender["groups"]["doctor"]["seen"] == {"woman": 2, "man": 6}
    assert gender["groups"]["doctor"]["deviation_ratio"]["value"] == 0.5
    assert gender["mean_deviation_ratio"]["value"] == pytest.approx((0.5 + 1) / 2)
    assert (gender["result"], gender["target"]["pictures_needed_in_each_group"]) == (OPEN, 220)
    assert told["attributes"]["skin"]["result"] is None
    printed = capsys.readouterr().out
    assert printed.index("It needs 220 pictures") < printed.index("gender: 5 woman, 6 man, 1 unsure")


def test_the_page_holds_everything_and_no_picture(pictures: Path, run: Callable[..., int], tmp_path: Path) -> None:
    assert run(pictures) == 0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    for words in ("Perceived gender", "What this judge is wrong about", "never who somebody is", "The test", "nurse"):
        assert words in page
    assert "data:image" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_pictures_are_shown_when_asked_for(pictures: Path, run: Callable[..., int], tmp_path: Path) -> None:
    assert run(pictures, "--show", 1) == 0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert 1 <= page.count("data:image/webp") <= len({name for own in CLASSES.values() for name in own}) + 3


def test_bad_files_are_named_and_skipped(pictures: Path, run: Callable[..., int], tmp_path: Path) -> None:
    paint(tmp_path / "outside" / "secret.png", "man")
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)
    Image.fromarray(noise).save(pictures / "broken.png")
    (pictures / "broken.png").write_bytes((pictures / "broken.png").read_bytes()[:9000])
    (pictures / "empty.jpg").touch()
    (pictures / "text.webp").write_text("no picture")
    (pictures / "notes.txt").write_text("no picture either")
    (pictures / "out.png").symlink_to(tmp_path / "outside" / "secret.png")
    (pictures / "lost.png").symlink_to("nowhere")
    (pictures / "round.png").symlink_to("round.png")
    (pictures / "linked").symlink_to(tmp_path / "outside")
    (pictures / "again.png").symlink_to(pictures / "doctor" / "0.png")
    os.mkfifo(pictures / "pipe.png")
    assert run(pictures) == 0
    told = results(tmp_path)
    skipped = {one["file"]: one["why"] for one in told["skipped"]}
    assert skipped.pop("broken.png").startswith("damaged")
    assert skipped == {
        "empty.jpg": "no picture, whatever its name says",
        "text.webp": "no picture, whatever its name says",
        "out.png": "a link out of the folder",
        "lost.png": "a link to nothing",
        "round.png": "a link to nothing",
        "linked": "a link to a folder",
        "pipe.png": "no file",
    }
    assert (told["pictures"], told["other_files"]) == (13, 1)  # the link inside the folder counts


def test_any_name(pictures: Path, run: Callable[..., int], tmp_path: Path) -> None:
    """Names of bytes that are no text, and a subfolder whose name is markup."""
    odd = pictures / os.fsdecode(b"\xff\xfe <b>bold</b>")
    paint(odd / os.fsdecode(b"\xe9.png"), "woman")
    (odd / os.fsdecode(b"\xea.png")).touch()
    assert run(pictures) == 0
    assert len(results(tmp_path)["skipped"]) == 1
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;bold&lt;" in page
    assert "<b>bold" not in page


def test_pictures_are_read_as_a_viewer_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upright = Image.new("RGB", (9, 6), (200, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    upright.save(tmp_path / "turned.jpg", exif=exif)
    assert folders.read_picture(tmp_path / "turned.jpg").shape == (9, 6, 3)
    Image.new("L", (4, 4), 90).save(tmp_path / "grey.png")
    assert folders.read_picture(tmp_path / "grey.png")[0, 0].tolist() == [90, 90, 90]
    Image.new("RGB", (3000, 30)).save(tmp_path / "long.png")
    assert folders.read_picture(tmp_path / "long.png").shape[1] == 2048
    monkeypatch.setattr(folders, "_LARGEST", 1000)
    with pytest.raises(RespoError, match="larger than"):
        folders.read_picture(tmp_path / "long.png")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["{}/nothing"], "expected a folder with pictures, found nothing"),
        (["{}/file.png"], "expected a folder with pictures, found a file"),
        (["{}/empty"], "found none"),
        (["{}/pictures", "--target", "cat 1, dog 1"], "each concept that the judge knows (gender: woman, man;"),
        (["{}/pictures", "--target", "light 1, dark 1"], "0 for what should not be there, found 'light 1, dark 1'"),
        (["{}/pictures", "--target", "woman 1, man 1", "--target", "man 1, woman 1"], "at most one target for each"),
        (["{}/pictures", "--tolerance", "0"], "expected a tolerance above 0"),
        (["{}/pictures", "--show", "-1"], "expected --show of 0 to 50"),
    ],
)
def test_refusals(
    pictures: Path, run: Callable[..., int], tmp_path: Path, capsys: Any, given: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.png").touch()
    assert run(*(part.format(tmp_path) for part in given)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "index.html").exists()


def test_a_target_is_checked_before_any_picture_is_judged(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = ToyJudge()
    monkeypatch.setattr(command, "find_judge", lambda _: judge)
    assert main(["audit", str(pictures), "--out", str(pictures / "out"), "--target", "light 1, dark 1"]) == 2
    assert judge.looked_at == 0


def test_without_a_folder_it_says_how_many_pictures_it_needs(capsys: Any) -> None:
    assert main(["audit", "--target", "woman 1, man 1", "--tolerance", "0.05"]) == 0
    assert "It needs 880 pictures" in capsys.readouterr().out


def test_a_folder_needs_a_place_for_the_results(pictures: Path, capsys: Any) -> None:
    assert main(["audit", str(pictures)]) == 2
    assert "expected --out FOLDER" in capsys.readouterr().err


def test_ctrl_c_writes_nothing(
    pictures: Path, run: Callable[..., int], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(auditing, "read_picture", stop)
    assert run(pictures) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not any((tmp_path / "out").iterdir())


def test_all_groups_have_to_pass() -> None:
    good, bad, few = ["woman", "man"] * 120, ["woman"] * 240, ["woman", "man"]
    classes = CLASSES["gender"]

    def result(**groups: list[str]) -> str:
        return audit("gender", classes, groups, EVEN).whole.result

    assert result(a=good) == result(a=good, b=good) == PASS
    assert result(a=good, b=bad) == FAIL
    assert result(a=good, b=few) == OPEN
    assert result(a=bad, b=["man"] * 240) == FAIL  # even in sum
    assert result(a=[*good, *["unsure"] * 100]) == OPEN
    assert "unsure of 100 of 340" in sentence(audit("gender", classes, {"a": [*good, *["unsure"] * 100]}, EVEN))


def test_abstentions_are_counted_and_bounded() -> None:
    labels = {"": ["woman"] * 5 + ["man"] * 3 + ["unsure"] * 2 + ["nobody"] * 7}
    found = audit("gender", ("woman", "man", "nobody"), labels, None).whole.found
    assert (found.decided, found.unsure, found.nobody) == (8, 2, 7)
    assert possible(found) == {"woman": (0.5, 0.7), "man": (0.3, 0.5)}


def test_nobody_at_all() -> None:
    found = audit("gender", ("woman", "man", "nobody"), {"": ["nobody"] * 3}, EVEN)
    assert (found.whole.result, found.mean) == (OPEN, None)
    assert "no picture of which the judge is sure" in sentence(found)


def test_a_target_finds_its_attribute() -> None:
    found = targets_of(["dark 1, light 1, medium 2", "man 1, woman 1"], CLASSES, 0.1)
    assert list(found) == ["skin", "gender"]
