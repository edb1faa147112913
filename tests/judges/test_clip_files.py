"""A judge's folder is read as modules are: nothing in it is trusted, and it is read as `transformers` reads it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from respo_train.core.errors import RespoError
from respo_train.judges import clip
from respo_train.judges.clip_files import END, START, read_clip

transformers = pytest.importorskip("transformers")
FOLDER = Path(__file__).resolve().parents[1] / "corpus" / "clip"
SENTENCES = ["an other  THORN", "Ébah!?", f"a {END} hen's 12", "", "the " * 30, "\U0001f469\u200d\U0001f680 'tis"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(FOLDER, tmp_path / "clip")


def test_cuts_sentences_as_transformers_does(folder: Path, comfy_path: Path) -> None:
    """With its own letters, and with those of SD 1.5's text encoder, which come with the host."""
    for place, length in ((folder, 8), (comfy_path / "comfy" / "sd1_tokenizer", 77)):
        vocabulary = json.loads((place / "vocab.json").read_text(encoding="utf-8"))
        lines = (place / "merges.txt").read_text(encoding="utf-8").split("\n")
        merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
        own = clip.tokenizer_of(vocabulary, merges, length).encode_batch(SENTENCES)
        theirs = transformers.CLIPTokenizer(vocab=vocabulary, merges=merges)
        expected = theirs(SENTENCES, padding=True, truncation=True, max_length=length)
        assert [one.ids for one in own] == expected["input_ids"]
        assert [one.attention_mask for one in own] == expected["attention_mask"]


def test_either_form_of_the_tokenizer(folder: Path) -> None:
    whole = read_clip(folder)
    (folder / "merges.txt").unlink()
    again = read_clip(folder)
    assert (again.vocabulary, again.merges) == (whole.vocabulary, whole.merges)
    assert {START, END} <= whole.vocabulary.keys()


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_no_link_is_followed(folder: Path, tmp_path: Path, name: str) -> None:
    if name == "tokenizer.json":
        (folder / "vocab.json").unlink()
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(RespoError, match="found a link"):
        read_clip(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_no_pipe_is_waited_for(folder: Path, name: str) -> None:
    (folder / ("vocab.json" if name == "tokenizer.json" else "tokenizer.json")).unlink()  # of which one is enough
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(RespoError):
        clip.ClipJudge(folder)


def test_what_the_files_name_besides_is_never_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        found = json.loads((folder / name).read_text())
        found |= {"auto_map": {"AutoConfig": "a/b--evil.Evil"}, "_name_or_path": "a/b", "quantization_config": {"x": 1}}
        (folder / name).write_text(json.dumps(found))
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "a/b"}')
    monkeypatch.setattr(transformers.dynamic_module_utils, "get_class_from_dynamic_module", None)
    found = clip.ClipJudge(folder)
    assert set(found.verdicts(torch.zeros(1, 3, 9, 8))) == set(found.classes)


class PanicException(BaseException):
    """As pyo3 raises it for a panic in Rust, which is no Exception."""


def test_a_panic_is_an_error_like_any_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object) -> None:
        raise PanicException("called `Option::unwrap()` on a `None` value")

    monkeypatch.setattr(clip, "tokenizer_of", panic)
    with pytest.raises(RespoError, match="Option::unwrap"):
        clip.ClipJudge(folder)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("config.json", {"text_config": {"hidden_size": 2**40}}, "'hidden_size' from 1 to 8192"),
        ("config.json", {"text_config": [1]}, "'text_config' as an object"),
        ("config.json", {"vision_config": {"num_hidden_layers": True}}, "'num_hidden_layers'"),
        ("config.json", {"vision_config": {"hidden_act": "__import__"}}, "'hidden_act' as one of"),
        ("config.json", {"projection_dim": 3}, "another size than config.json says"),
        ("preprocessor_config.json", {"image_mean": [1, 2]}, "'image_mean' as three numbers"),
        ("preprocessor_config.json", {"size": {"shortest_edge": 10**9}}, "'shortest_edge' from 1 to 4096"),
        ("vocab.json", {"a": 1}, "with a number of its own"),
        ("vocab.json", {"b": "1"}, "with a number of its own"),
    ],
)
def test_says_what_is_out_of_bounds(folder: Path, file: str, change: dict, says: str) -> None:
    found = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**found, **change}))
    with pytest.raises(RespoError, match=says):
        clip.ClipJudge(folder)
