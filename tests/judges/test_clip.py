"""CLIP from a folder, as `transformers` writes it: a model of random weights, for what it says is not the point."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from respo_train.core.errors import RespoError
from respo_train.core.judge import UNSURE, AnyJudge, look
from respo_train.judges import load_judge

transformers = pytest.importorskip("transformers")
NAME = "tiny-clip"
PROMPTS = "[hair]\nlong = long hair | a ponytail\nshort = short hair\nunsure below = 0\n"
END, START = "<|endoftext|>", "<|startoftext|>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of judges with one tiny CLIP in it."""
    place = tmp_path_factory.mktemp("judges") / NAME
    letters = string.ascii_lowercase + string.digits + ".-|"
    words = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    place.mkdir()
    (place / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    (place / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **special})
    )
    (place / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 32})
    )
    text = {"vocab_size": len(words), "bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1}
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config={**small, **text}, vision_config={**small, "image_size": 32, "patch_size": 16}, projection_dim=8
    )
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(place)
    return place.parent


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.rand(5, 3, 40, 56, generator=torch.Generator().manual_seed(0))


def test_asks_what_its_table_says(folder: Path, pictures: torch.Tensor) -> None:
    judge = load_judge(NAME, folder)
    assert isinstance(judge, AnyJudge)
    assert judge.classes["gender"] == ("woman", "man")
    assert judge.classes["race"] == ("Asian-race", "black-race", "white-race")
    found = judge.verdicts(pictures)
    assert set(found) == set(judge.classes)
    for name, verdict in found.items():
        assert torch.tensor(verdict.probabilities).sum(-1).tolist() == pytest.approx([1] * 5)
        threshold = 0.6 if len(judge.classes[name]) == 2 else 0.5
        sure = [value >= threshold for value in verdict.confidence]
        assert [label != UNSURE for label in verdict.labels] == sure


def test_is_clips_own_softmax(folder: Path, pictures: torch.Tensor) -> None:
    """Against the model alone, one picture and sentence at a time; the prompts of one class are added."""
    judge = load_judge(NAME, folder, PROMPTS)
    assert dict(judge.classes) == {"hair": ("long", "short")}
    model = transformers.CLIPModel.from_pretrained(str(folder / NAME)).eval()
    processor = transformers.CLIPProcessor.from_pretrained(str(folder / NAME))
    fits = torch.empty(5, 3)
    for row, picture in enumerate(pictures):
        for column, words in enumerate(("long hair", "a ponytail", "short hair")):
            pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
            given = processor(text=[words], images=[pixels], return_tensors="pt")
            with torch.no_grad():
                fits[row, column] = model(**given).logits_per_image
    shares = fits.softmax(-1)
    expected = torch.stack([shares[:, :2].sum(-1), shares[:, 2]], -1)
    verdict = judge.verdicts(pictures, batch=2)["hair"]
    assert torch.allclose(torch.tensor(verdict.probabilities), expected, atol=1e-4)
    assert verdict.labels == tuple(("long", "short")[i] for i in expected.argmax(-1).tolist())


def test_other_shapes_of_pictures(folder: Path) -> None:
    judge = load_judge(NAME, folder, PROMPTS)
    for shape in ((1, 1, 1, 3), (2, 33, 300, 4), (1, 8, 8, 1)):
        assert len(look(judge, torch.rand(shape), "hair").labels) == shape[0]
    assert look(judge, torch.full((1, 40, 40, 3), torch.nan), "hair").labels[0] in ("long", "short")


def test_a_threshold_makes_unsure(folder: Path, pictures: torch.Tensor) -> None:
    never = load_judge(NAME, folder, PROMPTS.replace("below = 0", "below = 1"))
    assert set(never.verdicts(pictures)["hair"].labels) == {UNSURE}


def broken(folder: Path, tmp_path: Path, change: str) -> Path:
    place = shutil.copytree(folder / NAME, tmp_path / NAME)
    if change == "pickle":
        (place / "model.safetensors").rename(place / "pytorch_model.bin")
    elif change == "weights":
        data = (place / "model.safetensors").read_bytes()
        (place / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif change == "half":
        weights = load_file(place / "model.safetensors")
        save_file(dict(list(weights.items())[3:]), place / "model.safetensors", {"format": "pt"})
    elif change == "pixels":
        (place / "preprocessor_config.json").unlink()
    elif change == "tokenizer":
        for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
            (place / name).unlink()
    elif change == "kind":
        (place / "config.json").write_text('{"model_type": "bert"}')
    elif change == "json":
        (place / "config.json").write_text("[1")
    elif change == "code":
        config = json.loads((place / "config.json").read_text())
        config["auto_map"] = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}
        (place / "config.json").write_text(json.dumps(config))
        (place / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("pickle", r"expected model\.safetensors"),
        ("weights", "cannot be loaded"),
        ("half", "3 are missing"),
        ("tokenizer", r"expected tokenizer\.json or vocab\.json and merges\.txt"),
        ("pixels", r"expected preprocessor_config\.json"),
        ("kind", "expected a CLIP model.*'bert'"),
        ("json", "cannot be loaded"),
    ],
)
def test_says_what_is_wrong_with_a_folder(folder: Path, tmp_path: Path, change: str, words: str) -> None:
    with pytest.raises(RespoError, match=words):
        load_judge(NAME, broken(folder, tmp_path, change))


def test_runs_no_code_of_the_folder(folder: Path, tmp_path: Path, pictures: torch.Tensor) -> None:
    judge = load_judge(NAME, broken(folder, tmp_path, "code"), PROMPTS)
    judge.verdicts(pictures)
    assert not (tmp_path / "ran").exists()


def test_never_asks_the_network(folder: Path, pictures: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def no(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", no)
    monkeypatch.setattr(socket, "getaddrinfo", no)
    load_judge(NAME, folder, PROMPTS).verdicts(pictures)
